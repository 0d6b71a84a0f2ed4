"""The base of `CacheService`: values and their bytes, expiry by category, invalidation, counts.

They are read from Redis itself, or from a gateway's memory over it. What this version cannot read is None: a
miss, not an error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, Self, TypeVar, runtime_checkable

import msgspec

from shared.cache.keys import Category, cache_key, head_key, revision_key, variant_key
from shared.http.via import Installation
from shared.models import FORMAT, MOST_REVISION, BreakerState, IndexHead
from shared.redis.client import RedisClient
from shared.settings import Settings
from shared.telemetry import metrics

NAMES_SECONDS = 86_400  # by then the bytes may have more names
GENERATION_BYTES = 8  # big-endian, before each body
F = TypeVar("F", IndexHead, BreakerState)

_HEADS = msgspec.msgpack.Decoder(IndexHead)
_BREAKERS = msgspec.msgpack.Decoder(BreakerState)
_INSTALLATIONS = msgspec.msgpack.Decoder(Installation)
encode = msgspec.msgpack.Encoder().encode


def decode_head(raw: bytes) -> IndexHead | None:
    return _readable(_HEADS, raw)


def decode_breaker(raw: bytes) -> BreakerState | None:
    return _readable(_BREAKERS, raw)


def _readable(decoder: msgspec.msgpack.Decoder[F], raw: bytes) -> F | None:
    try:
        value = decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return value if value.format == FORMAT else None


def decode_installation(raw: bytes) -> Installation | None:
    try:
        return _INSTALLATIONS.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def decode_revision(raw: bytes) -> int | None:
    if not raw.isdigit() or len(raw) > 15:
        return None
    revision = int(raw)
    return revision if revision <= MOST_REVISION else None


def split_body(raw: bytes) -> tuple[int, memoryview] | None:
    """Generation and body, the body without a copy."""
    if len(raw) < GENERATION_BYTES:
        return None
    return int.from_bytes(raw[:GENERATION_BYTES], "big"), memoryview(raw)[GENERATION_BYTES:]


def matching_body(head: IndexHead | None, body: tuple[int, memoryview] | None) -> memoryview | None:
    """A body of another generation than the head's is a missing variant."""
    if head is None or body is None or body[0] != head.bodies_generation:
        return None
    return body[1]


T = TypeVar("T")


class Reader(Protocol):
    """Anything that reads many keys: `RedisClient`, or a gateway's L1 over it."""

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]: ...


@runtime_checkable
class LocalReader(Reader, Protocol):
    """A reader with values in memory (see `services/gateway/hits/l1.py`)."""

    @property
    def connected(self) -> bool: ...

    def holds(self, key: str) -> bool: ...

    def peek_decoded(self, key: str, decode: Callable[[bytes], T]) -> T | None: ...

    def decoded(self, key: str, raw: bytes, decode: Callable[[bytes], T]) -> T | None: ...

    async def read(self, keys: Sequence[str]) -> tuple[list[bytes | None], bool]: ...


SCAN_BATCH = 500


class CacheValues:
    """Plain values by category. `redis` takes the writes; `reader` (default `redis`) answers reads."""

    def __init__(
        self,
        redis: RedisClient,
        *,
        ttls: Mapping[Category, int | None],
        stale_limit: int = 0,
        reader: Reader | None = None,
    ) -> None:
        """`ttls` in seconds, None = for ever; `stale_limit` in seconds, 0 = none."""
        self.ttls = dict(ttls)
        self.stale_limit = stale_limit
        self.hits = dict.fromkeys(Category, 0)
        self.misses = dict.fromkeys(Category, 0)
        self._redis = redis
        self._reader: Reader = redis if reader is None else reader
        self._local = reader if isinstance(reader, LocalReader) else None

    @classmethod
    def from_settings(cls, redis: RedisClient, settings: Settings, *, reader: Reader | None = None) -> Self:
        """The table of ARCHITECTURE.md "State"."""
        ttls: dict[Category, int | None] = {
            Category.ARTIFACT_METADATA: None,
            Category.ARTIFACT_DEPENDENCIES: None,
            Category.ARTIFACT_NAMES: NAMES_SECONDS,
            Category.DEPENDENCY_RESOLUTION: None,
            Category.UPSTREAM_SOURCES: settings.cache_ttl_upstream,
            Category.PACKAGE_INDEX: settings.cache_ttl_index,
            Category.PACKAGE_VERSIONS: settings.cache_ttl_versions,
        }
        return cls(redis, ttls=ttls, stale_limit=settings.stale_limit, reader=reader)

    # --- plain values -----------------------------------------------------------------------------

    async def get(self, category: Category, protocol: str, identifier: str) -> bytes | None:
        """The stored bytes, or None."""
        return (await self.get_many(category, protocol, [identifier]))[0]

    async def get_many(
        self, category: Category, protocol: str, identifiers: Sequence[str], *, direct: bool = False
    ) -> list[bytes | None]:
        """The stored bytes in the order of `identifiers`, None where there are none; one read. `direct`:
        of Redis itself, after an event said that one was written."""
        keys = [cache_key(category, protocol, identifier) for identifier in identifiers]
        values = await (self._redis if direct else self._reader).get_many(keys)
        found = sum(value is not None for value in values)
        self.hits[category] += found
        self.misses[category] += len(values) - found
        metrics.count_cache_lookup(category.value, "hit", found)
        metrics.count_cache_lookup(category.value, "miss", len(values) - found)
        return values

    async def set(
        self, category: Category, protocol: str, identifier: str, value: bytes, *, ttl: int | None = None
    ) -> None:
        """Store bytes for `ttl` seconds (default: the category's)."""
        key = cache_key(category, protocol, identifier)
        keep = self.ttls[category] if ttl is None else ttl
        await self._redis.command("SET", key, value, *(() if keep is None else ("EX", keep)))

    async def delete(self, category: Category, protocol: str, *identifiers: str) -> int:
        """Remove values; how many there were."""
        keys = [cache_key(category, protocol, identifier) for identifier in identifiers]
        if not keys:
            return 0
        return await self._redis.unlink(*keys)

    async def invalidate(
        self, category: Category, protocol: str, identifier: str = "", *, prefix: str = ""
    ) -> int:
        """Remove one value (an index page with its bodies), those whose identifier starts with
        `prefix`, or the whole category of a protocol; how many keys there were.

        The source revision stays: without it a disabled source's pages would be served again.
        """
        if identifier and category is not Category.PACKAGE_INDEX:
            return await self.delete(category, protocol, identifier)
        if identifier:
            return await self._unlink_page(head_key(protocol, identifier))
        start = cache_key(category, protocol, prefix or "x")[: None if prefix else -1]
        return await self._unlink_matching(f"{_escape(start)}*", keep=revision_key(protocol))

    async def _unlink_page(self, name: str) -> int:
        # A body written in between is left behind without its head: nothing can be read of it.
        raw = (await self._redis.get_many([name]))[0]
        head = None if raw is None else decode_head(raw)
        variants = [] if head is None else [variant_key(name, variant) for variant in head.variants]
        return await self._redis.unlink(name, *variants)

    async def _unlink_matching(self, pattern: str, *, keep: str = "") -> int:
        removed = 0
        async for found in self._redis.scan(pattern, SCAN_BATCH):
            names = [name for name in found if name != keep]
            removed += await self._redis.unlink(*names) if names else 0
        return removed

    # --- helpers -----------------------------------------------------------------------------------------

    def _decoded(self, key: str, raw: bytes | None, decode: Callable[[bytes], T]) -> T | None:
        if raw is None:
            return None
        return decode(raw) if self._local is None else self._local.decoded(key, raw, decode)

    def _count(self, category: Category, found: object | None) -> None:
        counter = self.misses if found is None else self.hits
        counter[category] += 1
        metrics.count_cache_lookup(category.value, "miss" if found is None else "hit")


def _escape(text: str) -> str:
    """For MATCH: glob characters as themselves."""
    return "".join("\\" + char if char in "*?[]\\" else char for char in text)
