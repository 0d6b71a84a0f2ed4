"""`CacheService`: what may be kept in the cache Redis, for how long, and who may overwrite whom."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from shared.cache_codec import (
    GENERATION_BYTES,
    decode_facts,
    decode_head,
    decode_revision,
    encode,
    matching_body,
    split_body,
)
from shared.cache_keys import Category as Category
from shared.cache_keys import cache_key, head_key, index_keys, revision_key, variant_key
from shared.cache_readers import LocalReader
from shared.cache_scripts import WRITE_HEAD, WRITE_INDEX
from shared.cache_sources import SourceStates
from shared.errors import CacheUnavailable, InvalidData
from shared.models import ArtifactFacts, IndexHead


class IndexRead(msgspec.Struct, frozen=True):
    """What one read of an index page found."""

    head: IndexHead | None  # None: never cached, or not readable by this version
    body: memoryview | None  # None: this variant is missing, or lies in the object store
    revision: int  # of the protocol's sources; 0 = unknown, which is no mismatch
    verified: bool = True  # False: from memory while Redis cannot tell of changes: serve as STALE


class CacheService(SourceStates):
    """Typed access to the cache. Values that this version cannot read are misses, never errors.

    All methods raise `CacheUnavailable` when Redis does not answer and `InvalidData` for impossible
    identifiers; those named `peek_` ask memory alone and do not wait.
    """

    # --- index pages --------------------------------------------------------------------------------

    async def read_index(
        self, protocol: str, identity: str, variant: str, *, direct: bool = False
    ) -> IndexRead:
        """Head and body of a page in one read. `variant` "" reads the head alone.

        `direct` asks Redis itself and not the memory of this process: after an event said that a
        page was written, which can arrive before the invalidation does.
        """
        revision_name, head_name, variant_name = index_keys(protocol, identity, variant)
        keys = [revision_name, head_name]
        if variant:
            keys.append(variant_name)
        verified = True
        if direct:
            values = await self._redis.get_many(keys)
        elif self._local is None:
            values = await self._reader.get_many(keys)
        else:
            values, verified = await self._read_local(self._local, keys)
        head = self._decoded(head_name, values[1], decode_head)
        body = self._decoded(variant_name, values[2], split_body) if variant else None
        if self._local is not None and verified and not direct and not _belongs(head, body):
            # A head from memory met a body from Redis that was written just now: ask for both.
            return await self.read_index(protocol, identity, variant, direct=True)
        self._count(Category.PACKAGE_INDEX, head)
        revision = self._decoded(revision_name, values[0], decode_revision) or 0
        return IndexRead(head, matching_body(head, body), revision, verified)

    async def _read_local(self, local: LocalReader, keys: list[str]) -> tuple[list[bytes | None], bool]:
        try:
            return await local.read(keys)
        except CacheUnavailable:
            # The revision alone may be missing in memory: the page is still served, as STALE.
            values, _ = await local.read(keys[1:])
            return [None, *values], False

    def peek_index(self, protocol: str, identity: str, variant: str) -> IndexRead | None:
        """The same from memory alone, without waiting; None when memory cannot answer whole and
        verified: then ask `read_index`."""
        local = self._local
        if local is None or not local.connected:
            return None
        revision_name, head_name, variant_name = index_keys(protocol, identity, variant)
        head = local.peek_decoded(head_name, decode_head)
        if head is None or not local.holds(revision_name) or not local.holds(variant_name):
            return None
        revision = local.peek_decoded(revision_name, decode_revision) or 0
        body = local.peek_decoded(variant_name, split_body)
        if not _belongs(head, body):
            return None
        self._count(Category.PACKAGE_INDEX, head)
        return IndexRead(head, matching_body(head, body), revision)

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

    async def read_facts(self, protocol: str, identity: str, *, direct: bool = False) -> ArtifactFacts | None:
        """Facts of a sealed artifact (`{project}/{file_id}/{filename}`), or None."""
        key = cache_key(Category.ARTIFACT_METADATA, protocol, identity)
        reader = self._redis if direct else self._reader
        facts = self._decoded(key, (await reader.get_many([key]))[0], decode_facts)
        self._count(Category.ARTIFACT_METADATA, facts)
        return facts

    def peek_facts(self, protocol: str, identity: str) -> ArtifactFacts | None:
        """The same from memory alone; None when it is not there. True even while disconnected."""
        if self._local is None:
            return None
        key = cache_key(Category.ARTIFACT_METADATA, protocol, identity)
        facts = self._local.peek_decoded(key, decode_facts)
        if facts is not None:
            self._count(Category.ARTIFACT_METADATA, facts)
        return facts

    async def write_facts(self, protocol: str, identity: str, facts: ArtifactFacts) -> None:
        """Keep for ever: a sealed artifact never changes."""
        await self.set(Category.ARTIFACT_METADATA, protocol, identity, encode(facts))


def _belongs(head: IndexHead | None, body: tuple[int, memoryview] | None) -> bool:
    return head is None or body is None or body[0] == head.bodies_generation
