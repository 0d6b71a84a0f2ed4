"""The canonical index document: the stored form of an upstream's page, and look-ups in it.

One JSON object: an envelope of Orchard's own (format number, identity, source) around the upstream's page in
PEP 691's shape. In the page all file URLs are absolute at the upstream; keys that Orchard does not know stay
where they were; nothing of Orchard's address is in it.
"""

from __future__ import annotations

from typing import Any

import msgspec

from shared.errors import UpstreamInvalid
from shared.models import FileEntry, FileName, UpstreamSource
from shared.protocols.pypi import names
from shared.protocols.pypi.names import is_stable_id
from shared.protocols.reading.json_text import Fields, Raw, value_of
from shared.protocols.reading.links import with_suffix

DOCUMENT_FORMAT = 1

File = dict[str, Any]
"""One entry of a page's `files`: PEP 691's keys and unknown ones; `filename`, `url` (absolute,
without fragment) and `hashes` are always there and well-formed."""


class Envelope(msgspec.Struct, frozen=True, omit_defaults=True):
    """The stored form: what is the upstream's own lies in `page`, whole."""

    format: int
    identity: str
    source: str  # name of the upstream source: part of the stable ids
    page: dict[str, Any]
    repository_version: str = ""  # of an HTML upstream (PEP 629), where the JSON shape is 1.0
    stable: tuple[str, ...] = ()  # names of files first shown without a SHA256: their URL stays
    # Names of wheels whose metadata the upstream itself offers, without a digest: it stands at every wheel
    # of the page that metadata is there. None: written before it did.
    offered: tuple[str, ...] | None = None


class ListEnvelope(Envelope, frozen=True, omit_defaults=True):
    """Of the list of all projects, whose page is decoded no further: see projects.py."""

    page: Fields


class Document:
    """A decoded document with its files indexed by name. Read-only: shared between threads.

    `kind`: "simple" has `files`, "root" has `projects`, "json" is the legacy API's. `project` is
    normalised, "" for a list of all projects.
    """

    __slots__ = ("by_name", "envelope", "kind", "offered", "project", "stable")

    def __init__(self, envelope: Envelope) -> None:
        self.envelope = envelope
        self.stable = frozenset(envelope.stable)
        self.offered = None if envelope.offered is None else frozenset(envelope.offered)
        kind, self.project, _ = names.split_identity(envelope.identity)
        self.kind = "root" if kind == "simple" and not self.project else kind
        by_name: dict[str, list[File]] = {}
        if self.kind == "simple":
            for file in envelope.page["files"]:
                by_name.setdefault(file["filename"], []).append(file)
        self.by_name = by_name

    @property
    def page(self) -> dict[str, Any]:
        """The upstream's page, and that every wheel's metadata is there (`advertise`); of a list of all
        projects its undecoded fields."""
        return self.envelope.page

    def metadata_hashes(self, file: File) -> dict[str, str] | None:
        """The digests of a file's metadata at the upstream, {} where it tells none; None: it offers none."""
        told = told_metadata(file)
        if isinstance(told, dict) and told:
            return told
        return {} if told and (self.offered is None or file["filename"] in self.offered) else None

    @property
    def repository_version(self) -> str:
        """The version of the repository's API that the upstream claims (PEP 629)."""
        meta = self.page["meta"]
        declared = (value_of(meta) if isinstance(meta, Raw) else meta)["api-version"]
        return self.envelope.repository_version or str(declared)

    def stable_id(self, filename: str) -> str:
        """The id of a file while its SHA256 is unknown."""
        return names.stable_id(self.envelope.source, self.project, filename)

    def file_id(self, file: File) -> str:
        """The id under which the upstream's entry is named: its SHA256, else the stable id.

        A file that was first shown under the stable id keeps it.
        """
        if self.has_stable_id(file):
            return self.stable_id(file["filename"])
        sha256: str = file["hashes"]["sha256"]
        return sha256

    def has_stable_id(self, file: File) -> bool:
        """Whether `file_id` is the stable id."""
        return not file["hashes"].get("sha256") or file["filename"] in self.stable


def told_metadata(file: File) -> Any:
    """What an entry says of core metadata (PEP 714), false where it says that there is none."""
    return file.get("core-metadata", file.get("data-dist-info-metadata"))


def advertise(files: list[File]) -> tuple[str, ...]:
    """Say of every wheel that its metadata is there: what the upstream does not offer is read out of the
    wheel (docs/decisions/0033). Returns the names of those that it offers, without a digest.

    It stands in the document, not in the page alone: a service that does not read wheels by ranges takes it
    for the upstream's word, finds nothing there, and reads it out of the downloaded wheel.
    """
    offered = []
    for file in files:
        told = told_metadata(file)
        if told is True:
            offered.append(file["filename"])
        elif not told and is_wheel(file["filename"]):
            file["core-metadata"] = True
    return tuple(offered)


def is_wheel(filename: str) -> bool:
    """Whether a file has the name of a wheel: five or six parts (binary distribution format, "File name")."""
    return filename.endswith(".whl") and filename.count("-") in (4, 5)


_envelope_decoder = msgspec.json.Decoder(Envelope)
_list_decoder = msgspec.json.Decoder(ListEnvelope)
_START_OF_LIST = b'{"format":1,"identity":"simple/",'  # canonical bytes begin with the envelope
_encoder = msgspec.json.Encoder()


def encode_document(envelope: Envelope) -> bytes:
    """The canonical bytes of a document."""
    try:
        return _encoder.encode(envelope)
    except (RecursionError, ValueError, TypeError, OverflowError) as error:
        raise UpstreamInvalid("the upstream's page holds values that cannot be kept") from error


def decode_document(body: bytes) -> Document:
    """The document of canonical bytes; raises `UpstreamInvalid` for another format (a miss)."""
    try:
        is_list = body.startswith(_START_OF_LIST)
        envelope = (_list_decoder if is_list else _envelope_decoder).decode(body)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise UpstreamInvalid("the stored index document cannot be read") from error
    if envelope.format != DOCUMENT_FORMAT:
        raise UpstreamInvalid(f"the stored index document has format {envelope.format}")
    return Document(envelope)


# Files go out as octets whatever they are, so that nothing on the way unpacks or renders them.
FILE_TYPE = "application/octet-stream"
# Core metadata is UTF-8 text (core metadata specification, "Metadata-Version 2.1" and later).
METADATA_TYPE = "text/plain; charset=utf-8"
SIGNATURE_TYPE = "application/pgp-signature"


def find_file(document: Document, file: FileName, source: UpstreamSource | None = None) -> FileEntry | None:
    """The entry of exactly this file, or None; see `Documents.find_file`.

    "x.whl.metadata" gives the metadata's URL with its hashes as `hashes` ({} where the upstream
    offers it without a digest), no URL where the upstream offers none, and the wheel as `holder`;
    "x.whl.asc" None where the upstream offers none.
    """
    filename, file_id = file.filename, file.file_id
    parent, suffix = names.parent_file(filename)
    entry = _entry(document, file_id, parent)
    if entry is None:
        return None
    if suffix == ".asc":
        if entry.get("gpg-sig") is not True:
            return None
        return FileEntry(filename, with_suffix(entry["url"], suffix), file_id, content_type=SIGNATURE_TYPE)
    metadata_hashes = document.metadata_hashes(entry)
    found = FileEntry(
        filename=parent,
        url=entry["url"],
        file_id=file_id,
        hashes=entry["hashes"],
        size_bytes=entry.get("size"),
        metadata_hashes=metadata_hashes,
        content_type=FILE_TYPE,
    )
    if not suffix:
        return found
    holder = found if is_wheel(parent) else None
    if holder is None and metadata_hashes is None:
        return None
    url = "" if metadata_hashes is None else with_suffix(entry["url"], suffix)
    return FileEntry(filename, url, file_id, metadata_hashes or {}, content_type=METADATA_TYPE, holder=holder)


def _entry(document: Document, file_id: str, filename: str) -> File | None:
    candidates = document.by_name.get(filename, ())
    for file in candidates:
        if document.file_id(file) == file_id:
            return file
    if document.stable:  # a URL with the digest, made elsewhere, is as good
        for file in candidates:
            if file["hashes"].get("sha256") == file_id:
                return file
    # The upstream tells the digest now, but the URL was given out before: it stays valid.
    if candidates and is_stable_id(file_id) and document.stable_id(filename) == file_id:
        return candidates[0]
    return None
