"""`CacheService`: what may be kept in the cache Redis, for how long, and who may overwrite whom."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from shared.cache_codec import (
    GENERATION_BYTES,
    decode_breaker,
    decode_facts,
    decode_head,
    decode_revision,
    encode,
    matching_body,
    split_body,
)
from shared.cache_keys import Category as Category
from shared.cache_keys import breaker_key, cache_key, head_key, probe_key, revision_key, variant_key
from shared.cache_readers import LocalReader, Reader
from shared.cache_scripts import RAISE_REVISION, WRITE_HEAD, WRITE_INDEX
from shared.clients.redis import RedisClient
from shared.errors import InvalidData
from shared.models import ArtifactFacts, BreakerState, IndexHead
from shared.settings import Settings

T = TypeVar("T")
BREAKER_KEPT_SECONDS = 600  # after `until`: long enough for someone to probe
SCAN_BATCH = 500


class IndexRead(msgspec.Struct, frozen=True):
    """What one read of an index page found."""

    head: IndexHead | None  # None: never cached, or not readable by this version
    body: memoryview | None  # None: this variant is missing, or lies in the object store
    revision: int  # of the protocol's sources; 0 = unknown, which is no mismatch
    verified: bool = True  # False: from memory while Redis cannot tell of changes: serve as STALE


class CacheService:
    """Typed access to the cache. Values that this version cannot read are misses, never errors.

    `redis` takes the writes; `reader` (default: `redis`) answers the reads. All methods raise
    `CacheUnavailable` when Redis does not answer and `InvalidData` for impossible identifiers.
    """

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
    def from_settings(
        cls, redis: RedisClient, settings: Settings, *, reader: Reader | None = None
    ) -> CacheService:
        """The table of DESIGN.md §1."""
        ttls: dict[Category, int | None] = {
            Category.ARTIFACT_METADATA: None,
            Category.ARTIFACT_DEPENDENCIES: None,
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
        self, category: Category, protocol: str, identifiers: Sequence[str]
    ) -> list[bytes | None]:
        """The stored bytes in the order of `identifiers`, None where there are none; one read."""
        keys = [cache_key(category, protocol, identifier) for identifier in identifiers]
        values = await self._reader.get_many(keys)
        found = sum(value is not None for value in values)
        self.hits[category] += found
        self.misses[category] += len(values) - found
        return values

    async def set(
        self, category: Category, protocol: str, identifier: str, value: bytes, *, ttl: int | None = None
    ) -> None:
        """Store bytes for `ttl` seconds (default: the category's)."""
        key = cache_key(category, protocol, identifier)
        keep = self.ttls[category] if ttl is None else ttl
        with self._redis.guard():
            await self._redis.raw.set(key, value, ex=keep)

    async def delete(self, category: Category, protocol: str, *identifiers: str) -> int:
        """Remove values; how many there were."""
        keys = [cache_key(category, protocol, identifier) for identifier in identifiers]
        if not keys:
            return 0
        with self._redis.guard():
            return int(await self._redis.raw.unlink(*keys))

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
            key = _escape(head_key(protocol, identifier))
            return await self._unlink_matching(key) + await self._unlink_matching(f"{key}:v:*")
        start = cache_key(category, protocol, prefix or "x")[: None if prefix else -1]
        return await self._unlink_matching(f"{_escape(start)}*", keep=revision_key(protocol))

    async def _unlink_matching(self, pattern: str, *, keep: str = "") -> int:
        removed = 0
        batch: list[bytes] = []
        with self._redis.guard():
            async for key in self._redis.raw.scan_iter(match=pattern, count=SCAN_BATCH):
                if key != keep.encode():
                    batch.append(key)
                if len(batch) >= SCAN_BATCH:
                    removed += int(await self._redis.raw.unlink(*batch))
                    batch.clear()
            if batch:
                removed += int(await self._redis.raw.unlink(*batch))
        return removed

    # --- index pages --------------------------------------------------------------------------------

    async def read_index(
        self, protocol: str, identity: str, variant: str, *, fresh: bool = False
    ) -> IndexRead:
        """Head and body of a page in one read. `variant` "" reads the head alone.

        `fresh` asks Redis itself and not the memory of this process: after an event said that a
        page was written, which can arrive before the invalidation does.
        """
        head_name = head_key(protocol, identity)
        keys = [revision_key(protocol), head_name]
        if variant:
            keys.append(variant_key(head_name, variant))
        verified = True
        if fresh:
            values = await self._redis.get_many(keys)
        elif self._local is not None:
            values, verified = await self._local.read(keys)
        else:
            values = await self._reader.get_many(keys)
        head = self._decoded(head_name, values[1], decode_head)
        body = self._decoded(keys[2], values[2], split_body) if variant else None
        self._count(Category.PACKAGE_INDEX, head)
        revision = self._decoded(keys[0], values[0], decode_revision) or 0
        return IndexRead(head, matching_body(head, body), revision, verified)

    def peek_index(self, protocol: str, identity: str, variant: str) -> IndexRead | None:
        """The same from memory alone, without waiting; None when memory cannot answer whole and
        verified: then ask `read_index`."""
        local = self._local
        if local is None or not local.connected:
            return None
        head_name = head_key(protocol, identity)
        head = local.peek_decoded(head_name, decode_head)
        if head is None:
            return None
        revision_name = revision_key(protocol)
        variant_name = variant_key(head_name, variant)
        if not local.holds(revision_name) or not local.holds(variant_name):
            return None
        revision = local.peek_decoded(revision_name, decode_revision) or 0
        body = matching_body(head, local.peek_decoded(variant_name, split_body))
        self._count(Category.PACKAGE_INDEX, head)
        return IndexRead(head, body, revision)

    async def write_index(
        self, protocol: str, identity: str, head: IndexHead, bodies: Mapping[str, bytes]
    ) -> bool:
        """Replace a page and all its bodies in one step. False: a newer writer was here first.

        Loses against a stored head of a higher generation, and against a source revision newer
        than `head.source_revision`. `head.bodies_generation` 0 becomes `head.generation`. Another
        value adds `bodies` to those of that generation: variants named in the head stay, and the
        write loses if the stored bodies are of another one. Variants the head does not name go.
        Raises `InvalidData` for a body that the head does not name.
        """
        for name in bodies:
            if name not in head.variants:
                raise InvalidData(f"the head does not name the variant {name!r}")
        if not head.bodies_generation:
            head = msgspec.structs.replace(head, bodies_generation=head.generation)
        name = head_key(protocol, identity)
        mark = head.bodies_generation.to_bytes(GENERATION_BYTES, "big")
        args = [*self._head_args(head), len(head.variants), *head.variants]
        for variant, body in bodies.items():
            variant_key(name, variant)
            args += [variant, mark + body]
        return bool(await WRITE_INDEX.run(self._redis, [name, revision_key(protocol)], args))

    async def write_head(self, protocol: str, identity: str, head: IndexHead) -> bool:
        """Write only the head: a 304, a failing upstream, or a negative entry (status 404).

        Same fence as `write_index`; False when it lost, which includes that the stored bodies are
        not those of `head.bodies_generation`: copy that field from the head that was read. A 404
        drops the bodies.
        """
        args = [*self._head_args(head), "0" if head.status == 404 else "1"]
        keys = [head_key(protocol, identity), revision_key(protocol)]
        return bool(await WRITE_HEAD.run(self._redis, keys, args))

    def _head_args(self, head: IndexHead) -> list[Any]:
        expire_at = 0  # unix milliseconds; 0 = never
        if head.status == 404:  # of no use once it may not be served: a stale 404 would be a lie
            expire_at = max(1, int(head.fresh_until * 1000))
        elif self.stale_limit:
            expire_at = max(1, int((head.fresh_until + self.stale_limit) * 1000))
        return [
            encode(head),
            head.generation,
            head.source_revision,
            head.bodies_generation,
            expire_at,
        ]

    # --- artifact facts ----------------------------------------------------------------------------

    async def read_facts(self, protocol: str, identity: str) -> ArtifactFacts | None:
        """Facts of a sealed artifact (`{project}/{file_id}/{filename}`), or None."""
        key = cache_key(Category.ARTIFACT_METADATA, protocol, identity)
        facts = self._decoded(key, (await self._reader.get_many([key]))[0], decode_facts)
        self._count(Category.ARTIFACT_METADATA, facts)
        return facts

    def peek_facts(self, protocol: str, identity: str) -> ArtifactFacts | None:
        """The same from memory alone; None when it is not there. True even while disconnected."""
        if self._local is None:
            return None
        key = cache_key(Category.ARTIFACT_METADATA, protocol, identity)
        facts = self._local.peek_decoded(key, decode_facts)
        if facts is not None:
            self.hits[Category.ARTIFACT_METADATA] += 1
        return facts

    async def write_facts(self, protocol: str, identity: str, facts: ArtifactFacts) -> None:
        """Keep for ever: a sealed artifact never changes."""
        await self.set(Category.ARTIFACT_METADATA, protocol, identity, encode(facts))

    # --- sources ---------------------------------------------------------------------------------------

    async def read_revision(self, protocol: str) -> int:
        """Revision of the protocol's sources; 0 = unknown."""
        return decode_revision((await self._redis.get_many([revision_key(protocol)]))[0] or b"0") or 0

    async def raise_revision(self, protocol: str, revision: int) -> None:
        """Make the revision at least this; pages of older ones become misses everywhere."""
        keep = self.ttls[Category.UPSTREAM_SOURCES] or 3600
        await RAISE_REVISION.run(self._redis, [revision_key(protocol)], [revision, keep])

    async def read_breaker(self, protocol: str, source_id: int) -> BreakerState | None:
        """Why this source is not asked now; None when it is well."""
        key = breaker_key(protocol, source_id)
        return self._decoded(key, (await self._reader.get_many([key]))[0], decode_breaker)

    async def write_breaker(self, protocol: str, breaker: BreakerState) -> None:
        """Tell all processes. Kept for some minutes after `until`, then forgotten."""
        keep = max(0, int(breaker.until - time.time())) + BREAKER_KEPT_SECONDS
        with self._redis.guard():
            key = breaker_key(protocol, breaker.source_id)
            await self._redis.raw.set(key, encode(breaker), ex=keep)

    async def clear_breaker(self, protocol: str, source_id: int) -> None:
        """The source is well again."""
        with self._redis.guard():
            keys = (breaker_key(protocol, source_id), probe_key(protocol, source_id))
            await self._redis.raw.unlink(*keys)

    async def try_probe(self, protocol: str, source_id: int, ttl: float) -> bool:
        """Whether the caller may probe: one of all processes in `ttl` seconds."""
        with self._redis.guard():
            key = probe_key(protocol, source_id)
            return bool(await self._redis.raw.set(key, b"1", nx=True, px=max(1, int(ttl * 1000))))

    # --- helpers -----------------------------------------------------------------------------------------

    def _decoded(self, key: str, raw: bytes | None, decode: Callable[[bytes], T]) -> T | None:
        if raw is None:
            return None
        return decode(raw) if self._local is None else self._local.decoded(key, raw, decode)

    def _count(self, category: Category, found: object | None) -> None:
        counter = self.misses if found is None else self.hits
        counter[category] += 1


def _escape(text: str) -> str:
    """For MATCH: glob characters as themselves."""
    return "".join("\\" + char if char in "*?[]\\" else char for char in text)
