"""The canonical index document: what is kept of an upstream's page, and how it is found in.

One JSON object: an envelope of Orchard's own (format number, identity, source) around the upstream's
page in PEP 691's shape. In the page all file URLs are absolute at the upstream; keys that Orchard
does not know stay where they were; nothing of Orchard's address is in it.
"""

from __future__ import annotations

from typing import Any

import msgspec

from shared.errors import UpstreamInvalid
from shared.protocols.pypi import identities

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


class Document:
    """A decoded document with its files indexed by name. Read-only: shared between threads.

    `kind`: "simple" has `files`, "root" has `projects`, "json" is the legacy API's. `project` is
    normalised, "" for a list of all projects.
    """

    __slots__ = ("by_name", "envelope", "kind", "project", "stable")

    def __init__(self, envelope: Envelope) -> None:
        self.envelope = envelope
        self.stable = frozenset(envelope.stable)
        kind, self.project, _ = identities.split_identity(envelope.identity)
        self.kind = "root" if kind == "simple" and not self.project else kind
        by_name: dict[str, list[File]] = {}
        if self.kind == "simple":
            for file in envelope.page["files"]:
                by_name.setdefault(file["filename"], []).append(file)
        self.by_name = by_name

    @property
    def page(self) -> dict[str, Any]:
        """The upstream's page."""
        return self.envelope.page

    def stable_id(self, filename: str) -> str:
        """The id of a file while its SHA256 is unknown."""
        return identities.stable_id(self.envelope.source, self.project, filename)

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


_envelope_decoder = msgspec.json.Decoder(Envelope)
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
        envelope = _envelope_decoder.decode(body)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise UpstreamInvalid("the stored index document cannot be read") from error
    if envelope.format != DOCUMENT_FORMAT:
        raise UpstreamInvalid(f"the stored index document has format {envelope.format}")
    return Document(envelope)
