"""The canonical document: the upstream's JSON as it came, and Orchard's notes beside it.

A packument may have 40 MB: its values stay undecoded slices of the body (`msgspec.Raw`), and only
what is looked at is decoded, one version at a time.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import msgspec

from shared.errors import UpstreamInvalid
from shared.protocols.npm import names
from shared.protocols.reading.json_text import Fields, Raw, fields_of, value_of

DOCUMENT_FORMAT = 1


class Notes(msgspec.Struct, frozen=True, omit_defaults=True):
    """Orchard's additions to the upstream's text."""

    hidden: frozenset[str] = frozenset()  # versions that cannot be served
    filenames: dict[str, str] = {}  # version → file name, where it is not the usual one
    times: dict[str, str] = {}  # version → when Orchard first saw it, where the upstream does not say
    dists: dict[str, Raw] = {}  # version → `dist` as first seen, where the upstream has changed it
    mutated: dict[str, str] = {}  # file name → the digest that the upstream now gives it


class Envelope(msgspec.Struct, frozen=True):
    """The stored form. `text` is the upstream's answer, whole and as it was."""

    format: int
    identity: str
    url: str  # where it came from: relative links start here
    notes: Notes
    text: Raw


_decode_envelope = msgspec.json.Decoder(Envelope).decode


def encode_document(identity: str, url: str, notes: Notes, text: bytes | memoryview) -> bytes:
    """The canonical bytes of a document; `text` is copied once."""
    head = msgspec.json.encode(Envelope(DOCUMENT_FORMAT, identity, url, notes, Raw(b"0")))
    return b"".join((head[:-2], text, b"}"))


def decode_document(body: bytes) -> Document:
    """The document of canonical bytes; raises `UpstreamInvalid` for another format (a miss)."""
    try:
        envelope = _decode_envelope(body)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise UpstreamInvalid("the stored document cannot be read") from error
    if envelope.format != DOCUMENT_FORMAT:
        raise UpstreamInvalid(f"the stored document has format {envelope.format}")
    return Document(envelope)


class Document:
    """A decoded document. Read-only: shared between threads. `kind` and `name` are its identity's."""

    def __init__(self, envelope: Envelope) -> None:
        self.envelope = envelope
        self.notes = envelope.notes
        self.kind, self.name, _ = names.split_identity(envelope.identity)

    @cached_property
    def top(self) -> Fields:
        """The upstream's object."""
        return fields_of(self.envelope.text)

    @cached_property
    def versions(self) -> Fields:
        """The versions that can be served, undecoded; of a version document the one that it is."""
        if self.kind == "version":
            version = value_of(self.top.get("version"))
            return {version: self.envelope.text} if isinstance(version, str) else {}
        hidden = self.notes.hidden
        return {v: raw for v, raw in fields_of(self.top.get("versions")).items() if v not in hidden}

    @cached_property
    def time(self) -> dict[str, Any]:
        """`time` as the upstream has it."""
        found = value_of(self.top.get("time"))
        return found if isinstance(found, dict) else {}

    def is_deprecated(self, version: str) -> bool:
        """Whether its publisher advises against a version, with whatever that is true in `deprecated`."""
        return bool(value_of(fields_of(self.versions.get(version)).get("deprecated")))

    def filename(self, version: str) -> str:
        """The name under which a version's tarball is served."""
        return self.notes.filenames.get(version) or names.tarball_name(self.name, version)

    def version_of(self, filename: str) -> str:
        """The version whose tarball has this name, "" if none has."""
        found = names.version_of(self.name, filename)
        if found in self.versions and self.filename(found) == filename:
            return found
        return next((v for v, name in self.notes.filenames.items() if name == filename), "")

    def known_version(self, filename: str) -> str:
        """As `version_of`, also for a version that was withdrawn and whose `dist` is still held."""
        found = names.version_of(self.name, filename)
        return found if found in self.notes.dists else self.version_of(filename)

    def dist(self, version: str) -> Fields:
        """A version's `dist`: as first seen, if the upstream has changed it; {} for no such version."""
        frozen = self.notes.dists.get(version)
        return fields_of(frozen) if frozen is not None else self.upstream_dist(version)

    def upstream_dist(self, version: str) -> Fields:
        """A version's `dist` as the upstream has it now."""
        raw = self.versions.get(version)
        return fields_of(fields_of(raw).get("dist")) if raw is not None else {}
