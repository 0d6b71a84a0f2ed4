"""What a build got: the entries of a session, and the list that its seal makes of them
(docs/decisions/0050)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from shared.errors import InvalidData
from shared.models import FileName, StoredFile, VariantInfo
from shared.policy.named import NamedRule

FORMAT: Final = 1


class Page(msgspec.Struct, frozen=True, tag="page", omit_defaults=True):
    """One body of an index. Its bytes are in `body`, or in the object store under `info.object_key`."""

    protocol: str
    identity: str
    variant: str  # as in `IndexHead.variants`
    info: VariantInfo
    modified: str = ""  # as in `IndexHead`
    body: bytes = b""
    at: float = 0.0  # unix seconds: when it was answered
    who: str = ""  # name of the token that asked; "" without one

    @property
    def key(self) -> str:
        return f"page|{self.protocol}|{self.identity}|{self.variant}"


class File(msgspec.Struct, frozen=True, tag="file", omit_defaults=True):
    """One file. `stored` None: it was on its way when it was answered; its row tells once it is stored."""

    protocol: str
    address: str  # identity of the resource that was asked for
    file: FileName  # which one that was
    stored: StoredFile | None = None
    at: float = 0.0
    who: str = ""
    sidecar: str = (
        ""  # the checksum that was asked for ("sha1"), which is made of the file's facts; "": the file
    )

    @property
    def key(self) -> str:
        return f"file|{self.protocol}|{self.address}" + (f"#{self.sidecar}" if self.sidecar else "")


class Absent(msgspec.Struct, frozen=True, tag="absent", omit_defaults=True):
    """A 404: what nobody had, and what was not there at the session's moment."""

    protocol: str
    address: str  # `absent_address` of the resource
    code: str  # of the error
    message: str
    at: float = 0.0
    who: str = ""

    @property
    def key(self) -> str:
        return f"absent|{self.protocol}|{self.address}"


Entry = Page | File | Absent


class BuildList(msgspec.Struct, frozen=True):
    """All that a sealed build is: one object, named by the SHA256 of its bytes."""

    format: int
    id: str
    name: str
    at: str  # the view of a moment that it saw; "": everything as it was
    pages: list[Page]  # without bodies: they are objects
    files: list[File]  # all with their facts
    absent: list[Absent]


class Session(msgspec.Struct, frozen=True, omit_defaults=True):
    """A build, or a lock as one. `open`: it records; `closed`: no more, its list is being made; `sealed`: it
    is its list."""

    id: str
    name: str = ""
    at: str = ""  # as in `BuildList`
    state: str = "open"
    created_at: float = 0.0  # unix seconds
    created_by: str = ""
    sealed_at: float = 0.0
    list_key: str = ""  # object key of the list
    pages: int = 0
    files: int = 0
    absent: int = 0
    imported: str = ""  # of one that came in a bundle: the key of the log that signed that
    lock: str = ""  # of a lock (`id` is its key): SHA256 of the lock that it was made of
    rules: tuple[NamedRule, ...] = ()  # its own policy, beside the server's
    missing: tuple[str, ...] = ()  # addresses that were asked for, and whose bytes were never stored


def absent_address(kind: str, identity: str, sidecar: str) -> str:
    """Where the absence of a resource is written down: a checksum may lack beside a file that is there."""
    return f"{kind}/{identity}" + (f"#{sidecar}" if sidecar else "")


def when_there(entries: Iterable[Entry]) -> dict[tuple[str, str], float]:
    """When what may have been absent before was answered: by protocol and `absent_address`."""
    there: dict[tuple[str, str], float] = {}
    for each in entries:
        if isinstance(each, Page):
            key = each.protocol, absent_address("index", each.identity, "")
        elif isinstance(each, File):
            key = each.protocol, absent_address("artifact", each.address, each.sidecar)
        else:
            continue
        there[key] = max(each.at, there.get(key, 0.0))
    return there


def settled(entries: Sequence[Entry]) -> list[Entry]:
    """What a session's answers come to. Of an absence and a later answer of the same the answer counts; a
    checksum goes with its file, and is an entry of its own where that was not asked for."""
    there = when_there(entries)
    files = {(each.protocol, each.address) for each in entries if isinstance(each, File) and not each.sidecar}

    def counts(entry: Entry) -> bool:
        if isinstance(entry, Absent):
            return entry.at > there.get((entry.protocol, entry.address), 0.0)
        return not (isinstance(entry, File) and entry.sidecar and (entry.protocol, entry.address) in files)

    return list(filter(counts, entries))


encode = msgspec.msgpack.Encoder().encode
_decode_entry: Callable[[bytes], Entry] = msgspec.msgpack.Decoder(Entry).decode
_decode_session = msgspec.msgpack.Decoder(Session).decode
_decode_list = msgspec.msgpack.Decoder(BuildList).decode


def decode_entry(raw: bytes) -> Entry:
    """Raises `InvalidData`."""
    try:
        return _decode_entry(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise InvalidData("an entry of a build cannot be read") from None


def decode_session(raw: bytes) -> Session:
    """Raises `InvalidData`."""
    try:
        return _decode_session(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise InvalidData("a build cannot be read") from None


def decode_list(raw: bytes) -> BuildList:
    """Raises `InvalidData`, also for a list of a later format."""
    try:
        found = _decode_list(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise InvalidData("the list of a build cannot be read") from None
    if found.format != FORMAT:
        raise InvalidData("the list of a build is of a later version")
    return found
