"""Advisories of feeds (OSV): which versions each is about, and a compact form of all of them. Pure.

A `Snapshot` is one value of bytes: sorted hashes of projects, and behind them one record for each. What is
asked for is decoded then, so that a quarter of a million advisories cost a process their bytes and no more.
"""

from __future__ import annotations

import hashlib
import struct
import sys
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import msgspec

from shared.setting_values import SEVERITIES

FORMAT = 1
MOST_NAMED = 1000  # projects that are found by an advisory's id: one id is about a few
_MAGIC = b"OADV"
_HEADER = struct.Struct("<4sHHII")  # magic, format, byte order, projects, advisories
_BYTE_ORDER = 1 if sys.byteorder == "little" else 2

Order = Callable[[str], Any]
"""The key of a version in its protocol's own order; None for what is no version."""


class Span(msgspec.Struct, frozen=True, array_like=True):
    """Versions in a row that are affected."""

    start: str = ""  # the first; "": there is none before
    fixed: str = ""  # the first behind them that is not affected; "": unknown, or none
    last: str = ""  # the last of them, where no fixed one is told; "": none

    def holds(self, version: str, order: Order, *, unknown: bool) -> bool:
        """`unknown`: what is said of versions that nobody can put in order."""
        if not (self.start or self.fixed or self.last):
            return True
        key = order(version)
        if key is None:
            return unknown
        for bound, is_outside in ((self.start, _lt), (self.fixed, _ge), (self.last, _gt)):
            if bound:
                other = order(bound)
                if other is None:
                    if not unknown:
                        return False
                elif is_outside(key, other):
                    return False
        return True


def _lt(key: Any, bound: Any) -> bool:
    return bool(key < bound)


def _ge(key: Any, bound: Any) -> bool:
    return not key < bound


def _gt(key: Any, bound: Any) -> bool:
    return bool(bound < key)


class Advisory(msgspec.Struct, frozen=True, array_like=True):
    """What one advisory says of one project."""

    id: str
    is_malware: bool
    score: float = 0.0  # CVSS, 0.1 to 10; 0: nobody has told how severe it is
    seen_at: float = 0.0  # unix seconds: when this Orchard knew it first
    spans: tuple[Span, ...] = ()
    versions: tuple[str, ...] = ()  # canonical; those that no span holds
    aliases: tuple[str, ...] = ()
    summary: str = ""

    @property
    def is_about_all(self) -> bool:
        """Whether every version is affected, whatever comes."""
        return any(not (each.start or each.fixed or each.last) for each in self.spans)

    def affects(self, version: str, order: Order) -> bool:
        """Of a canonical version. What cannot be put in order is affected by malware, and by nothing else."""
        return version in self.versions or any(
            each.holds(version, order, unknown=self.is_malware) for each in self.spans
        )

    def fixed_for(self, version: str, order: Order) -> str:
        """The version that is not affected any more, for an affected one; "": none is told."""
        return next(
            (each.fixed for each in self.spans if each.fixed and each.holds(version, order, unknown=True)), ""
        )

    def joined(self, other: Advisory) -> Advisory:
        """With what another document of the same id says: what either is about is affected, and the graver
        score counts. An older copy takes nothing out of a newer one, nor the other way round."""
        return Advisory(
            self.id,
            self.is_malware,
            max(self.score, other.score),
            min(self.seen_at, other.seen_at),
            tuple(sorted({*self.spans, *other.spans}, key=msgspec.structs.astuple)),
            tuple(sorted({*self.versions, *other.versions})),
            tuple(sorted({*self.aliases, *other.aliases})),
            max(self.summary, other.summary),
        )

    @property
    def told(self) -> str:
        """In one line for people."""
        severity = "" if self.is_malware else f" ({self.severity})"
        return f"{self.id}{severity}{': ' if self.summary else ''}{self.summary}"

    @property
    def severity(self) -> str:
        """In a word, as CVSS calls it (CVSS 3.1 §5)."""
        return next((word for word, least in SEVERITIES.items() if self.score >= least), "unknown")


def joined(advisories: Iterable[Advisory]) -> Iterable[Advisory]:
    """One of each id."""
    found: dict[str, Advisory] = {}
    for each in advisories:
        known = found.get(each.id)
        found[each.id] = each if known is None or known == each else known.joined(each)
    return found.values()


class About(msgspec.Struct, frozen=True, array_like=True):
    """A project and its advisories: a record of a snapshot."""

    protocol: str
    project: str  # as `Names.named_alike` spells it
    advisories: tuple[Advisory, ...]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(About).decode


class Damaged(Exception):
    """No snapshot, or one of another format."""


class Snapshot:
    """All advisories of one feed. `count` of them, on `projects`."""

    def __init__(self, data: bytes | bytearray) -> None:
        """`data` is not changed any more. Raises `Damaged`."""
        try:
            magic, version, order, self.projects, self.count = _HEADER.unpack_from(data)
        except struct.error as error:
            raise Damaged("it is no snapshot") from error
        if (magic, version, order) != (_MAGIC, FORMAT, _BYTE_ORDER):
            raise Damaged("it is of another format")
        view = memoryview(data)
        hashes = _HEADER.size + 8 * self.projects
        offsets = hashes + 4 * (self.projects + 1)
        if len(data) < offsets:
            raise Damaged("it is cut off")
        self.data = data
        self._hashes = view[_HEADER.size : hashes].cast("Q")
        self._offsets = view[hashes:offsets].cast("I")
        self._records = view[offsets:]
        if self._offsets[self.projects] != len(self._records):
            raise Damaged("it is cut off")

    def of(self, protocol: str, project: str) -> tuple[Advisory, ...]:
        """Those of a project, as `Names.named_alike` spells it."""
        wanted = _hash(protocol, project)
        at = bisect_left(self._hashes, wanted)
        while at < self.projects and self._hashes[at] == wanted:
            record = self._record(at)
            if record.protocol == protocol and record.project == project:
                return record.advisories
            at += 1
        return ()

    def _record(self, at: int) -> About:
        return _decode(self._records[self._offsets[at] : self._offsets[at + 1]])

    def __iter__(self) -> Iterator[About]:
        return (self._record(at) for at in range(self.projects))

    def of_protocol(self, protocol: str) -> Iterator[About]:
        """Its records: as they begin."""
        start = b"\x93" + _encode(protocol)
        for at in range(self.projects):
            offset = self._offsets[at]
            if self._records[offset : offset + len(start)] == start:
                yield self._record(at)

    def named(self, name: str) -> list[About]:
        """What an advisory is about, by its id or an alias: of `MOST_NAMED` projects. Nobody asks often, so
        it is found by its text as records hold it, with its length: what only begins so is never read."""
        text = _encode(name)
        found: list[About] = []
        start = len(self.data) - len(self._records)
        at = self.data.find(text, start) if name else -1
        while at >= 0 and len(found) < MOST_NAMED:
            place = bisect_left(self._offsets, at - start + 1) - 1
            record = self._record(place)
            those = tuple(each for each in record.advisories if name == each.id or name in each.aliases)
            if those:
                found.append(About(record.protocol, record.project, those))
            at = self.data.find(text, start + self._offsets[place + 1])
        return found


def make_snapshot(records: Iterable[About]) -> bytes:
    """The same records in any order give the same bytes."""
    made = sorted(
        (_hash(each.protocol, each.project), _encode(each), len(each.advisories)) for each in records
    )
    hashes, offsets, at = bytearray(), bytearray(), 0
    for key, record, _ in made:
        hashes += key.to_bytes(8, sys.byteorder)
        offsets += at.to_bytes(4, sys.byteorder)
        at += len(record)
    offsets += at.to_bytes(4, sys.byteorder)
    header = _HEADER.pack(_MAGIC, FORMAT, _BYTE_ORDER, len(made), sum(count for *_, count in made))
    return b"".join((header, hashes, offsets, *(record for _, record, _ in made)))


def _hash(protocol: str, project: str) -> int:
    key = f"{protocol}\0{project}".encode(errors="surrogatepass")
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big")


class Advisories:
    """Those of all feeds. `digest` tells any change."""

    def __init__(self, snapshots: Sequence[Snapshot], digest: str) -> None:
        self._snapshots = tuple(snapshots)
        self.digest = digest
        self._audits: dict[str, bool] = {}

    def of(self, protocol: str, project: str) -> tuple[Advisory, ...]:
        """Each once, with what all feeds say of it; malware first, then the most severe."""
        told = (each for snapshot in self._snapshots for each in snapshot.of(protocol, project))
        return tuple(sorted(joined(told), key=lambda each: (not each.is_malware, -each.score, each.id)))

    def tells_vulnerabilities(self, protocol: str) -> bool:
        """Whether there is any that is no malware on a project of a protocol: else nobody has looked for
        vulnerabilities there."""
        found = self._audits.get(protocol)
        if found is None:
            told = (about for each in self._snapshots for about in each.of_protocol(protocol))
            found = any(not advisory.is_malware for about in told for advisory in about.advisories)
            self._audits[protocol] = found
        return found

    def named(self, name: str) -> list[About]:
        """See `Snapshot.named`. Looks through all that there is: for a thread."""
        return [found for snapshot in self._snapshots for found in snapshot.named(name)]

    @property
    def count(self) -> int:
        """Of all feeds together."""
        return sum(each.count for each in self._snapshots)
