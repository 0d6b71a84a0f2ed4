"""What the log says: one canonical JSON document for each entry (docs/transparency.md has the fields).

Canonical: keys in the order of their code points, no spaces, UTF-8, nothing that is not known. Only what this
version writes is made here; a reader takes any document whose `format` it knows.
"""

from __future__ import annotations

import msgspec

FORMAT = 1
MOST_ENTRY_BYTES = 65_535  # what the two bytes before an entry of a bundle can tell

KINDS = (
    "admission",
    "mutated",
    "accepted",
    "accepted.undone",
    "block.set",
    "block.lifted",
    "exemption.set",
    "exemption.lifted",
)


class Source(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a file came from: the source's name and address, and the file's own; no credentials, no query."""

    name: str = ""
    address: str = ""
    url: str = ""


class LogEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One entry. What is not known is left out; `kind` says what there is besides."""

    kind: str  # one of `KINDS`
    time: str  # RFC 3339, UTC, microseconds: when the row was made
    protocol: str = ""
    project: str = ""
    version: str = ""
    file: str = ""
    role: str = ""  # "file", or "metadata": a document read out of a file
    digests: dict[str, str] = {}  # algorithm → lower-case hex, of the stored bytes
    size: int | None = None  # bytes
    source: Source | None = None
    checked: dict[str, str] = {}  # what told the digest that was compared → its algorithm
    found: str = ""  # of "mutated": the digest that the upstream has now


def encode_entry(entry: LogEntry) -> bytes:
    """The bytes that are hashed. Raises `ValueError` for more than a log can hold."""
    whole = {"format": FORMAT, **msgspec.to_builtins(entry)}
    data = msgspec.json.encode(whole, order="sorted")
    if len(data) > MOST_ENTRY_BYTES:
        raise ValueError("an entry of the log is too long")
    return data


def write_bundle(entries: list[bytes]) -> bytes:
    """Entries as C2SP tlog-tiles has them: each after its length in two bytes."""
    return b"".join(len(each).to_bytes(2, "big") + each for each in entries)
