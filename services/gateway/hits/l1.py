"""The gateway's own memory of cache values: a hit costs a dictionary look-up, not a round trip.

Redis sends an invalidation message for every change (`InvalidationStream`). The rules are about the moments
in which it cannot: a fill during which the key changed is discarded; while the connection for messages is
down nothing is filled, sealed facts stay usable and pages are STALE; after a reconnect everything is dropped.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any, TypeVar

from services.gateway.hits.tracking import InvalidationStream
from shared.cache.keys import PREFIX, SEALED, Category
from shared.errors.passing import CacheUnavailable
from shared.redis.client import RedisClient
from shared.telemetry import metrics

T = TypeVar("T")

# Seconds after which an entry is read again although nobody said that it changed: a bound on the
# damage of a lost message. Redis may announce an expiry late, hence short where values expire.
LIFETIME = {
    Category.PACKAGE_INDEX: 3600.0,
    Category.DEPENDENCY_RESOLUTION: 3600.0,
    Category.PACKAGE_VERSIONS: 60.0,
    Category.ARTIFACT_NAMES: 3600.0,
    Category.UPSTREAM_SOURCES: 60.0,
}
_CATEGORIES = frozenset(Category)
ENTRY_OVERHEAD = 400  # bytes: key, entry, its place in the dictionary
LARGEST_SHARE = 8  # a value over 1/8 of the memory is not kept


class _Entry:
    __slots__ = ("decode", "decoded", "expires_at", "sealed", "size", "value")

    def __init__(self, value: bytes | None, size: int, expires_at: float, sealed: bool) -> None:
        self.value = value  # None: Redis said that there is none
        self.size = size
        self.expires_at = expires_at  # monotonic
        self.sealed = sealed
        self.decode: Callable[[bytes], Any] | None = None
        self.decoded: Any = None


class L1Cache:
    """Least recently used values of the cache Redis, at most `max_bytes` of them.

    Not thread-safe: one event loop. `max_bytes` 0 keeps nothing and needs no connection.
    """

    def __init__(self, redis: RedisClient, *, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.used_bytes = 0
        self.hits = 0  # keys answered from memory
        self.misses = 0
        self.evictions = 0
        self._counted = (0, 0, 0)
        self._redis = redis
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._pending: dict[str, object] = {}  # key → ticket of the fill that may store it
        self._stream = InvalidationStream(
            redis,
            prefix=PREFIX,
            on_change=self._forget,
            on_flush=self._drop_all,
            on_connected=self._connection_changed,
        )

    async def open(self) -> None:
        """Connect the tracking. Redis may be away: it is tried again until it is there."""
        if self.max_bytes:
            await self._stream.open()

    async def aclose(self) -> None:
        """Stop tracking and drop everything."""
        await self._stream.aclose()
        self._drop_all()

    @property
    def connected(self) -> bool:
        """Whether Redis sends us invalidations. False: pages from here are STALE, facts are usable."""
        return self._stream.connected or not self.max_bytes

    def count(self) -> None:
        """Bring the metrics up to date: at a scrape, so that a read costs an addition and no more."""
        before, now = self._counted, (self.hits, self.misses, self.evictions)
        metrics.L1_LOOKUPS.labels("hit").inc(now[0] - before[0])
        metrics.L1_LOOKUPS.labels("miss").inc(now[1] - before[1])
        metrics.L1_EVICTIONS.inc(now[2] - before[2])
        metrics.L1_BYTES.set(self.used_bytes)
        self._counted = now

    def __len__(self) -> int:
        return len(self._entries)

    # --- from memory, without waiting -----------------------------------------------------------

    def _held(self, key: str) -> _Entry | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry.expires_at < monotonic() and self._stream.connected:
            self._remove(key)
            return None
        self._entries.move_to_end(key)
        return entry

    def holds(self, key: str) -> bool:
        """Whether the key is cached here: its value, or that there is none."""
        return self._held(key) is not None

    def peek(self, key: str) -> bytes | None:
        """The value if it is cached here. A page may only be called fresh while `connected`."""
        entry = self._held(key)
        return None if entry is None else entry.value

    def still(self, made_of: Sequence[tuple[str, object]]) -> bool:
        """Whether the cache is connected and holds these very objects; None for a key known to have no
        value."""
        if not self._stream.connected:
            return False
        entries, now = self._entries, monotonic()
        for key, value in made_of:
            entry = entries.get(key)
            if entry is None or entry.value is not value or entry.expires_at < now:
                return False
            entries.move_to_end(key)
        return True

    def peek_decoded(self, key: str, decode: Callable[[bytes], T]) -> T | None:
        """`decode(value)` if it is here; decoded once, then remembered beside the value."""
        entry = self._held(key)
        if entry is None:
            return None
        self.hits += 1
        return _decoded(entry, decode)

    def decoded(self, key: str, raw: bytes, decode: Callable[[bytes], T]) -> T | None:
        """`decode(raw)`, remembered if `raw` is the value held here."""
        entry = self._entries.get(key)
        if entry is None or entry.value is not raw:
            return decode(raw)
        return _decoded(entry, decode)

    # --- reads ------------------------------------------------------------------------------------

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """Values in the order of `keys`, None where there is none. Raises `CacheUnavailable` when a
        key is not here and Redis does not answer."""
        return (await self.read(keys))[0]

    async def read(self, keys: Sequence[str]) -> tuple[list[bytes | None], bool]:
        """The same, and whether the values are verified: False when pages came from memory while
        Redis could not tell of changes."""
        connected = self.connected
        found: dict[str, bytes | None] = {}
        missing: list[str] = []
        for key in keys:
            entry = self._held(key)
            if entry is not None and (connected or entry.sealed):
                found[key] = entry.value
            else:
                missing.append(key)
        self.hits += len(keys) - len(missing)
        self.misses += len(missing)
        verified = True
        if missing:
            try:
                found.update(zip(missing, await self._fetch(missing), strict=True))
            except CacheUnavailable:
                for key in missing:
                    entry = self._entries.get(key)
                    if entry is None:
                        raise
                    found[key] = entry.value
                    verified = verified and entry.sealed
        return [found[key] for key in keys], verified

    async def _fetch(self, keys: list[str]) -> list[bytes | None]:
        if not self._stream.connected:
            return await self._redis.get_many(keys)
        # The ticket is taken before the read: a change that Redis tells of from here on takes it
        # away, in whatever order message and reply arrive.
        ticket = object()
        for key in keys:
            self._pending[key] = ticket
        try:
            values = await self._redis.get_many(keys)
            for key, value in zip(keys, values, strict=True):
                if self._pending.get(key) is ticket:
                    self._store(key, value)
            return values
        finally:
            for key in keys:
                if self._pending.get(key) is ticket:
                    del self._pending[key]

    # --- keeping ------------------------------------------------------------------------------------

    def _store(self, key: str, value: bytes | None) -> None:
        category = _category(key)
        if category is None or (value is None and not _worth_knowing_absent(key, category)):
            return
        length = 0 if value is None else len(value)
        size = length + len(key) + ENTRY_OVERHEAD + (2 * length if length < 8192 else 0)  # + decoded
        if size > self.max_bytes // LARGEST_SHARE:
            return
        self._remove(key)
        sealed = category in SEALED
        expires_at = float("inf") if sealed else monotonic() + LIFETIME[category]
        self._entries[key] = _Entry(value, size, expires_at, sealed)
        self.used_bytes += size
        while self.used_bytes > self.max_bytes:
            self._remove(next(iter(self._entries)))
            self.evictions += 1

    def _remove(self, key: str) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.used_bytes -= entry.size

    def _forget(self, keys: list[str]) -> None:
        for key in keys:
            self._pending.pop(key, None)
            self._remove(key)

    def _drop_all(self) -> None:
        self._pending.clear()
        self._entries.clear()
        self.used_bytes = 0

    def _connection_changed(self, connected: bool) -> None:
        if connected:
            self._drop_all()  # changes in between were not announced
        else:
            self._pending.clear()


def _decoded(entry: _Entry, decode: Callable[[bytes], T]) -> T | None:
    if entry.decode is not decode:
        if entry.value is None:
            return None
        entry.decoded = decode(entry.value)
        entry.decode = decode
    return entry.decoded  # type: ignore[no-any-return]


def _category(key: str) -> Category | None:
    """The category of a key; None for one that is not tracked."""
    _, _, rest = key.partition(PREFIX)
    name = rest.partition(":")[0]
    return Category(name) if key.startswith(PREFIX) and name in _CATEGORIES else None


def _worth_knowing_absent(key: str, category: Category) -> bool:
    """A missing revision or variant (large bodies lie in the object store) is read with every hit.

    Missing heads and facts are not remembered: a miss costs an upstream request anyway, and
    invented names would push out what is needed.
    """
    return category is Category.UPSTREAM_SOURCES or (category is Category.PACKAGE_INDEX and ":v:" in key)
