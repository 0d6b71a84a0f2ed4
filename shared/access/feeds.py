"""Where advisories lie between the fetcher that reads their feeds and all processes: the queue Redis.

Of each feed one value, named by its digest, and one hash that says which of them count: so a process loads
what it has not, and sees either all of a change or none of it. The rows of `osv_feeds` are what lasts
(`services/fetcher/feeds/`); what Redis loses is put there again.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from shared.errors import OrchardError
from shared.errors.passing import StoreUnavailable
from shared.models import FORMAT
from shared.policy.advisories import Advisories, Damaged, Snapshot
from shared.process.periodic import Every
from shared.redis.client import RedisClient
from shared.telemetry.feeds_and_webhooks import FEED_ADVISORIES, FEED_CONFIRMED, FEED_FAULTY
from shared.telemetry.logs import get_logger

log = get_logger()

KEY: Final = "orchard:advisories"
POLL_SECONDS = 1.0
REPLACED_SECONDS = 600  # so long a replaced value stays for processes that read the hash before
MOST_BYTES = 128 * 1024 * 1024  # of one snapshot, unpacked
OLD_SECONDS = 7200.0  # a feed that was confirmed longer ago is a problem
STEP = 1024 * 1024  # bytes unpacked at a time
MOST_CHANGED = 500  # names that a state tells

Project = tuple[str, str]
"""Protocol and name, as `Names.named_alike` spells it."""


class FeedState(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is known of one feed. Times in unix seconds."""

    feed: str  # its address, without credentials
    digest: str = ""  # SHA-256 of the snapshot; "": it was never read
    count: int = 0
    read_at: float = 0.0  # when the snapshot was made
    confirmed_at: float = 0.0  # when the feed last said so, or that nothing has changed
    fault: str = ""  # why the last look at it changed nothing
    left_out: int = 0  # documents of it that cannot be read, or are about nothing that is served here
    before: str = ""  # the digest of the snapshot before
    changed: tuple[Project, ...] | None = None  # projects that differ from that one; None: too many


class FeedsState(msgspec.Struct, frozen=True):
    """That of all feeds that are set."""

    format: int
    feeds: tuple[FeedState, ...] = ()


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(FeedsState).decode


def blob_key(digest: str) -> str:
    """Where a packed snapshot lies."""
    return f"{KEY}:{digest}"


def pack(data: bytes) -> bytes:
    """A snapshot as it is stored: its size in 8 bytes, then zlib."""
    return len(data).to_bytes(8, "little") + zlib.compress(data, 6)


def unpack(packed: bytes, digest: str) -> bytearray:
    """Raises `StoreUnavailable` for what is not the snapshot of this digest."""
    size, at = int.from_bytes(packed[:8], "little"), 0
    data = bytearray(min(size, MOST_BYTES))  # made once: no other copy of it is ever in memory
    stream, rest = zlib.decompressobj(), memoryview(packed)[8:]
    try:
        while rest and at < len(data):
            piece = stream.decompress(rest, min(STEP, len(data) - at))
            data[at : at + len(piece)] = piece
            at, rest = at + len(piece), memoryview(stream.unconsumed_tail)
    except zlib.error:
        at = -1
    if at != size or hashlib.sha256(data).hexdigest() != digest:
        raise StoreUnavailable("the advisories of a feed are damaged in the queue Redis")
    return data


async def read_state(redis: RedisClient) -> FeedsState | None:
    """None: there is none, or none that this version knows. Raises `QueueUnavailable`."""
    raw = await redis.command("HGET", KEY, "state")
    if raw is None:
        return None
    try:
        state = _decode(raw)
    except msgspec.MsgspecError:
        return None
    return state if state.format == FORMAT else None


async def write_state(redis: RedisClient, feeds: Sequence[FeedState]) -> None:
    """After the values that it names. Raises `QueueUnavailable`."""
    known = await read_state(redis)
    await redis.command("HSET", KEY, "state", _encode(FeedsState(FORMAT, tuple(feeds))))
    now = {each.digest for each in feeds}
    for each in known.feeds if known is not None else ():
        if each.digest and each.digest not in now:
            await redis.command("EXPIRE", blob_key(each.digest), REPLACED_SECONDS)


async def has_blob(redis: RedisClient, digest: str) -> bool:
    """Whether a value is there, for good. Raises `QueueUnavailable`."""
    return int(await redis.command("TTL", blob_key(digest))) == -1


async def write_blob(redis: RedisClient, digest: str, packed: bytes) -> None:
    """Raises `QueueUnavailable`."""
    await redis.command("SET", blob_key(digest), packed)


class FeedWatcher:
    """The newest advisories of all feeds. The caller opens and closes it."""

    def __init__(self, redis: RedisClient, on_change: Callable[[], None]) -> None:
        """`on_change` is called in the event loop after `advisories` has changed."""
        self._redis = redis
        self._on_change = on_change
        self._snapshots: dict[str, Snapshot] = {}  # by digest
        self.state = FeedsState(FORMAT)
        self.advisories: Advisories | None = None  # None: none were ever known
        self.changed: frozenset[Project] | None = None  # by the last change; None: it may be anything
        self._looking = asyncio.Lock()
        self._turns = Every(POLL_SECONDS, self.look, name="advisories")

    async def open(self) -> None:
        """Start with a first look, that fails if it must."""
        with contextlib.suppress(OrchardError):
            await self.look()
        await self._turns.open()

    async def aclose(self) -> None:
        """Stop."""
        await self._turns.aclose()

    async def look(self) -> None:
        """Take what is there now. Raises `QueueUnavailable`, `StoreUnavailable`: what was known stays."""
        async with self._looking:
            state = await read_state(self._redis)
            if state is not None:
                await self._take(state)

    async def _take(self, state: FeedsState) -> None:
        wanted = [each.digest for each in state.feeds if each.digest]
        found: dict[str, Snapshot] = {}
        for digest in dict.fromkeys(wanted):
            known = self._snapshots.get(digest)
            found[digest] = await self._load(digest) if known is None else known
        self.state = state
        for each in state.feeds:
            FEED_CONFIRMED.labels(each.feed).set(each.confirmed_at)
            FEED_FAULTY.labels(each.feed).set(bool(each.fault))
            FEED_ADVISORIES.labels(each.feed).set(each.count)
        if found.keys() == self._snapshots.keys():
            return
        self.changed = _changed(state.feeds, self._snapshots)
        self._snapshots = found
        self.advisories = Advisories(list(found.values()), ",".join(found)) if found else None
        self._on_change()

    def problems(self, now: float) -> list[str]:
        """What is wrong with the feeds, for anybody (`now` in unix seconds)."""
        found = []
        if self.advisories is None:
            found.append("advisories: none are known, and nothing is served before (docs/firewall.md)")
        if any(each.fault for each in self.state.feeds):
            found.append("advisories: what a feed has now is not taken; `orchard feeds list` says why")
        if any(now - each.confirmed_at > OLD_SECONDS for each in self.state.feeds if each.digest):
            found.append("advisories: a feed has said nothing for long; what it said last counts on")
        return found

    async def _load(self, digest: str) -> Snapshot:
        with self._redis.guard():
            packed = await self._redis.raw.get(blob_key(digest))
        if packed is None:
            raise StoreUnavailable("the advisories of a feed are not in the queue Redis yet")
        data = await asyncio.to_thread(unpack, packed, digest)
        try:
            return Snapshot(data)
        except Damaged as error:
            raise StoreUnavailable(f"the advisories of a feed cannot be read: {error}") from None


def _changed(feeds: Sequence[FeedState], known: Mapping[str, Snapshot]) -> frozenset[Project] | None:
    names: set[Project] = set()
    kept = {each.digest for each in feeds}
    followed = {each.before for each in feeds if each.digest not in known}
    if any(digest not in kept and digest not in followed for digest in known):
        return None  # a feed was taken out, or more than one change was missed
    for each in feeds:
        if each.digest and each.digest not in known:
            if each.changed is None or each.before not in known:
                return None
            names.update(each.changed)
    return frozenset(names)
