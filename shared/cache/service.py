"""`CacheService`: typed values in the cache Redis, their expiry, and the fences of their writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from shared.cache.keys import (
    Category,
    facts_key,
    fence_key,
    head_key,
    index_keys,
    revision_key,
    variant_key,
)
from shared.cache.scripts import FENCE_FACTS, WRITE_FACTS, WRITE_HEAD, WRITE_INDEX
from shared.cache.sources import SourceStates
from shared.cache.values import (
    GENERATION_BYTES,
    LocalReader,
    decode_head,
    decode_revision,
    encode,
    matching_body,
    split_body,
)
from shared.errors import InvalidData
from shared.errors.passing import CacheUnavailable
from shared.models import FileName, IndexHead, StoredFile, decode_stored
from shared.telemetry.logs import get_logger

log = get_logger()

FENCE_SECONDS = 86_400  # longer than anybody holds facts before writing them


class IndexRead(msgspec.Struct, frozen=True):
    """What one read of an index page found."""

    head: IndexHead | None  # None: never cached, or not readable by this version
    body: memoryview | None  # None: this variant is missing, or lies in the object store
    revision: int  # of the protocol's sources; 0 = unknown, which is no mismatch
    verified: bool = True  # False: from memory while Redis cannot tell of changes: serve as STALE
    variant: str = ""  # the one of those that were asked for: the first that the page has, else the first


class CacheService(SourceStates):
    """Typed access to the cache. Values that this version cannot read are misses, never errors.

    All methods but `write_facts` raise `CacheUnavailable` when Redis does not answer, and all `InvalidData`
    for impossible identifiers; those named `peek_` ask memory alone and do not wait.
    """

    # --- index pages --------------------------------------------------------------------------------

    async def read_index(
        self, protocol: str, identity: str, *variants: str, direct: bool = False
    ) -> IndexRead:
        """The head of a page, and the body of the first of `variants` that it has: mostly one read.

        `direct` asks Redis itself and not the memory of this process: after an event said that a
        page was written, which can arrive before the invalidation does.
        """
        read = await self._read_variant(protocol, identity, variants[0] if variants else "", direct=direct)
        chosen = _first_of(variants, read.head)
        if chosen != read.variant:
            read = await self._read_variant(protocol, identity, chosen, direct=direct)
        self._count(Category.PACKAGE_INDEX, read.head)
        return read

    async def _read_variant(self, protocol: str, identity: str, variant: str, *, direct: bool) -> IndexRead:
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
            return await self._read_variant(protocol, identity, variant, direct=True)
        revision = self._decoded(revision_name, values[0], decode_revision) or 0
        return IndexRead(head, matching_body(head, body), revision, verified, variant)

    async def _read_local(self, local: LocalReader, keys: list[str]) -> tuple[list[bytes | None], bool]:
        try:
            return await local.read(keys)
        except CacheUnavailable:
            # The revision alone may be missing in memory: the page is still served, as STALE.
            values, _ = await local.read(keys[1:])
            return [None, *values], False

    def peek_index(self, protocol: str, identity: str, *variants: str) -> IndexRead | None:
        """The same from the in-process cache alone, without waiting; None unless it has all of it, verified:
        then ask `read_index`."""
        local = self._local
        if local is None or not local.connected:
            return None
        revision_name, head_name, _ = index_keys(protocol, identity, "")
        head = local.peek_decoded(head_name, decode_head)
        if head is None or not local.holds(revision_name):
            return None
        variant = _first_of(variants, head)
        variant_name = index_keys(protocol, identity, variant)[2]
        if variant and not local.holds(variant_name):
            return None
        revision = local.peek_decoded(revision_name, decode_revision) or 0
        body = local.peek_decoded(variant_name, split_body) if variant else None
        if not _belongs(head, body):
            return None
        self._count(Category.PACKAGE_INDEX, head)
        return IndexRead(head, matching_body(head, body), revision, variant=variant)

    async def read_head(self, protocol: str, identity: str) -> tuple[IndexHead | None, bytes]:
        """The head as it stands in Redis, and its very bytes for `write_index`; b"" for none."""
        name = head_key(protocol, identity)
        raw = (await self._redis.get_many([name]))[0]
        head = self._decoded(name, raw, decode_head)
        self._count(Category.PACKAGE_INDEX, head)
        return head, raw or b""

    async def write_index(
        self,
        protocol: str,
        identity: str,
        head: IndexHead,
        bodies: Mapping[str, bytes],
        *,
        over: bytes = b"",
    ) -> bool:
        """Replace a page and all its bodies in one step. False: a newer writer came first.

        Loses against a stored head of a higher generation, and against a source revision newer
        than `head.source_revision`. `head.bodies_generation` 0 becomes `head.generation`. Another
        value adds `bodies` to those of that generation: variants named in the head stay, and the
        write loses if the stored bodies are of another one. Variants the head does not name go. `over`: the
        bytes of the head that this one was made from: whoever wrote since wins.
        Raises `InvalidData` for a body that the head does not name.
        """
        for name in bodies:
            if name not in head.variants:
                raise InvalidData(f"the head does not name the variant {name!r}")
        if not head.bodies_generation:
            head = msgspec.structs.replace(head, bodies_generation=head.generation)
        name = head_key(protocol, identity)
        mark = head.bodies_generation.to_bytes(GENERATION_BYTES, "big")
        keys, told = await self._fence(protocol, name)
        args = [*self._head_args(head), over, told, len(head.variants), *head.variants]
        for variant, body in bodies.items():
            variant_key(name, variant)
            args += [variant, mark + body]
        return bool(await WRITE_INDEX.run(self._redis, keys, args))

    async def write_head(self, protocol: str, identity: str, head: IndexHead) -> bool:
        """Write only the head: a 304, a failing upstream, or a negative entry (status 404).

        Same fence as `write_index`; False when it lost, which includes that the stored bodies are
        not those of `head.bodies_generation`: copy that field from the head that was read. A 404
        drops the bodies.
        """
        keys, told = await self._fence(protocol, head_key(protocol, identity))
        args = [*self._head_args(head), "0" if head.status == 404 else "1", told]
        return bool(await WRITE_HEAD.run(self._redis, keys, args))

    async def _fence(self, protocol: str, head_name: str) -> tuple[list[str], int]:
        """KEYS of a write, and the revision of now where it cannot be one of them. A change in between costs
        no more than a page that counts as missing (`IndexHead.is_made_of`)."""
        if self._redis.one_slot:
            return [head_name], await self.read_revision(protocol)
        return [head_name, revision_key(protocol)], 0

    def _head_args(self, head: IndexHead) -> list[Any]:
        expire_at = 0  # unix milliseconds; 0 = never
        if head.status == 404:  # of no use once it may not be served: a stale 404 would be a lie
            expire_at = max(1, int(head.fresh_until * 1000))
        elif stale_limit := self.stale_limit if head.stale_seconds < 0 else head.stale_seconds:
            expire_at = max(1, int((head.fresh_until + stale_limit) * 1000))
        return [
            encode(head),
            head.generation,
            head.source_revision,
            head.bodies_generation,
            expire_at,
        ]

    # --- artifact facts ----------------------------------------------------------------------------

    async def read_facts(self, file: FileName, *, direct: bool = False) -> StoredFile | None:
        """Facts of a sealed artifact, or None."""
        key = facts_key(file)
        reader = self._redis if direct else self._reader
        facts = self._decoded(key, (await reader.get_many([key]))[0], decode_stored)
        self._count(Category.ARTIFACT_METADATA, facts)
        return facts

    def peek_facts(self, file: FileName) -> StoredFile | None:
        """The same from memory alone; None when it is not there. True even while disconnected."""
        if self._local is None:
            return None
        key = facts_key(file)
        facts = self._local.peek_decoded(key, decode_stored)
        if facts is not None:
            self._count(Category.ARTIFACT_METADATA, facts)
        return facts

    async def write_facts(self, file: FileName, facts: StoredFile) -> bool:
        """Store without expiry: a sealed artifact never changes. False: refused, for the row that they were
        read from was taken away (`fence_facts`). A Redis that does not answer is only logged: whoever lacks
        them reads the row."""
        keys = [facts_key(file), fence_key(file)]
        try:
            return bool(await WRITE_FACTS.run(self._redis, keys, [encode(facts), repr(facts.created_at)]))
        except CacheUnavailable as error:
            log.info("facts_not_cached", error=error.message)
            return True

    async def fence_facts(self, file: FileName, created_at: float) -> None:
        """Forget facts whose row was taken away, and refuse them from whoever still has them. `created_at`:
        of that row; facts of a later one are taken. Holds for a day, unless the cache is emptied."""
        keys = [facts_key(file), fence_key(file)]
        await FENCE_FACTS.run(self._redis, keys, [repr(created_at), FENCE_SECONDS])


def _first_of(variants: Sequence[str], head: IndexHead | None) -> str:
    """The first that the page has, else the first; "" of none."""
    named = head.variants if head is not None else {}
    return next((name for name in variants if name in named), variants[0] if variants else "")


def _belongs(head: IndexHead | None, body: tuple[int, memoryview] | None) -> bool:
    return head is None or body is None or body[0] == head.bodies_generation
