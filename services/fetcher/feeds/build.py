"""Reads a feed and makes its snapshot, in a process of its own: what it takes of memory and time is bounded,
and the fetcher goes on meanwhile. `python -m services.fetcher.feeds.build`, an `Order` on standard input.

What is worse than the last good one is refused: nothing in it, a fifth of it gone, or damaged.
"""

from __future__ import annotations

import hashlib
import os
import resource
import sys
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path

import msgspec

from services.fetcher.feeds.files import UnreadableFeed, documents
from services.fetcher.feeds.osv import Unreadable, read_document
from shared.access.feeds import MOST_BYTES, MOST_CHANGED, Project, pack
from shared.policy.advisories import About, Advisory, Damaged, Snapshot, joined, make_snapshot
from shared.printable import printable

MOST_MEMORY_BYTES = 3 * 1024**3
MOST_SHRUNK = 0.2  # of the advisories may be gone at once
MOST_UNREADABLE = 0.01  # of the documents; one alone of a small feed is more than that
MOST_TOLD = 300  # characters of what is wrong with the first
NICER = 10


class Order(msgspec.Struct, frozen=True):
    """What is to be made: paths of files. `previous` "": there is none."""

    feed: str
    previous: str
    target: str  # the packed snapshot is written there
    now: float  # unix seconds
    may_shrink: bool = False
    sha256: str = ""  # of the feed, where that is one file and somebody told it


class Made(msgspec.Struct, frozen=True, omit_defaults=True):
    """What came of it."""

    refused: str = ""  # why the feed does not count; then all else is empty
    digest: str = ""
    count: int = 0
    left_out: int = 0
    changed: tuple[Project, ...] | None = None  # None: more than `MOST_CHANGED`


def build(order: Order) -> Made:
    """Reads, compares, writes. Nothing is written of what is refused."""
    try:
        if order.sha256:
            _check(Path(order.feed), order.sha256)
        old = _previous(order.previous)
        records, left_out = _read(Path(order.feed), _seen(old, order.now))
    except UnreadableFeed as error:
        return Made(str(error))
    except OSError as error:
        return Made(error.strerror or str(error))
    data = make_snapshot(records.values())
    new = Snapshot(data)
    before = 0 if old is None else old.count
    if not new.count:
        return Made("it has no advisory on anything that is served here")
    if new.count < before * (1 - MOST_SHRUNK) and not order.may_shrink:
        return Made(f"it has shrunk from {before} advisories to {new.count} at once")
    if len(data) > MOST_BYTES:
        return Made(f"its advisories take {len(data)} bytes, more than {MOST_BYTES}")
    Path(order.target).write_bytes(pack(data))
    return Made("", hashlib.sha256(data).hexdigest(), new.count, left_out, _changed(old, records))


def _check(feed: Path, sha256: str) -> None:
    with feed.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
            raise UnreadableFeed("it has another checksum than it should")


def _previous(path: str) -> Snapshot | None:
    try:
        return Snapshot(Path(path).read_bytes()) if path else None
    except Damaged:
        return None


def _seen(old: Snapshot | None, now: float) -> Mapping[str, float]:
    """Since when each advisory is known; `now` of all others."""
    known = _Seen(now)
    for about in old or ():
        for each in about.advisories:
            known[each.id] = each.seen_at
    return known


class _Seen(dict[str, float]):
    def __init__(self, now: float) -> None:
        self._now = now

    def __missing__(self, _: str) -> float:
        return self._now


def _read(feed: Path, seen: Mapping[str, float]) -> tuple[dict[Project, About], int]:
    """The records, and how many documents say nothing of what is served here. Raises `UnreadableFeed`."""
    found: dict[Project, list[Advisory]] = {}
    total = unreadable = left_out = 0
    first = ""
    for name, body in documents(feed):
        total += 1
        try:
            if body is None:
                raise Unreadable("it is too large")
            said = read_document(body, _score, seen.__getitem__)
        except Unreadable as error:
            unreadable += 1
            first = first or f"{name}: {error}"
            continue
        left_out += not said
        for about in said:
            found.setdefault((about.protocol, about.project), []).extend(about.advisories)
    if unreadable > total * MOST_UNREADABLE:
        raise UnreadableFeed(
            f"{unreadable} of its {total} documents are damaged; {printable(first)[:MOST_TOLD]}"
        )
    return {key: About(*key, _ordered(joined(those))) for key, those in found.items()}, left_out + unreadable


def _ordered(advisories: Iterable[Advisory]) -> tuple[Advisory, ...]:
    return tuple(sorted(advisories, key=lambda each: each.id))


def _changed(old: Snapshot | None, records: Mapping[Project, About]) -> tuple[Project, ...] | None:
    if old is None:
        return tuple(sorted(records)) if len(records) <= MOST_CHANGED else None
    left = dict(records)
    changed = []
    for about in old:
        key = about.protocol, about.project
        if left.pop(key, None) != about:
            changed.append(key)
        if len(changed) > MOST_CHANGED:
            return None
    changed += left
    return tuple(sorted(changed)) if len(changed) <= MOST_CHANGED else None


@lru_cache(maxsize=65_536)
def _score(vector: str) -> float:
    """The base score of a CVSS vector of any version; 0 of what is none."""
    import cvss

    kinds = {"CVSS:4": cvss.CVSS4, "CVSS:3": cvss.CVSS3}
    try:
        found = kinds.get(vector[:6], cvss.CVSS2)(vector)
        return float(getattr(found, "base_score", 0) or 0)
    except (cvss.exceptions.CVSSError, ValueError, KeyError, ArithmeticError):
        return 0.0


def main() -> None:
    """One order, one answer."""
    os.nice(NICER)
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY_BYTES, MOST_MEMORY_BYTES))
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    try:
        made = build(order)
    except MemoryError:
        made = Made("to read it takes too much memory")
    sys.stdout.buffer.write(msgspec.json.encode(made))


if __name__ == "__main__":
    main()
