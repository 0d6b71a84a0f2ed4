"""The last good index documents: stored under their hash, and decoded ones kept in memory.

A page of thousands of files takes milliseconds to decode; a burst of cold files of one project
decodes it once.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from typing import Any

import msgspec

from shared.artifacts import ArtifactRepository
from shared.cache import CacheService
from shared.clients.object_verify import read_whole
from shared.clients.objects import ObjectStore
from shared.clients.objects import document_key as stored_key
from shared.clients.threads import BoundedThreads
from shared.errors import CacheUnavailable, ObjectMissing, UpstreamInvalid
from shared.models import IndexHead, StoredDocument
from shared.protocols.base import PackageProxyBase

INLINE_BYTES = 64 * 1024  # decoded on the loop: takes less time than a thread switch is worth
DECODED_FACTOR = 8  # Python objects of a document take about so many times its bytes
MAX_DECODED_BYTES = 96 * 1024 * 1024  # of estimated memory


class LastGood(msgspec.Struct, frozen=True):
    """What is known of an index: the head in the cache and the row in the database, either or none."""

    head: IndexHead | None
    row: StoredDocument | None

    @property
    def document_key(self) -> str:
        """The newest document; "" if there never was one."""
        if self.row is not None:
            return self.row.document_key
        return self.head.document_key if self.head is not None else ""

    @property
    def source_id(self) -> int:
        return self.row.source_id if self.row is not None else (self.head.source_id if self.head else 0)


class Loaded(msgspec.Struct, frozen=True):
    """A decoded document with its key and the size of its canonical bytes."""

    key: str
    document: Any
    size_bytes: int


class Documents:
    """Reads, writes and remembers documents. Decoded documents are shared: nobody changes them."""

    def __init__(
        self,
        *,
        cache: CacheService,
        artifacts: ArtifactRepository,
        objects: ObjectStore,
        threads: BoundedThreads,
    ) -> None:
        self._cache = cache
        self._artifacts = artifacts
        self._objects = objects
        self._threads = threads
        self._decoded: OrderedDict[str, Loaded] = OrderedDict()
        self._bytes = 0

    async def last_good(self, protocol: str, identity: str) -> LastGood:
        """Head and row. An absent cache is as good as an empty one; the database is needed."""
        head, row = await asyncio.gather(
            self.head(protocol, identity), self._artifacts.stored_document(protocol, identity)
        )
        return LastGood(head, row)

    async def head(self, protocol: str, identity: str) -> IndexHead | None:
        """The head alone, None also when the cache does not answer."""
        try:
            return (await self._cache.read_index(protocol, identity, "")).head
        except CacheUnavailable:
            return None

    async def load_stored(self, protocol: PackageProxyBase, key: str) -> Loaded | None:
        """As `load`, but None also if only memory still has it: a lost object must be fetched anew."""
        try:
            await self.read(key)
        except ObjectMissing:
            return None
        return await self.load(protocol, key)

    async def load(self, protocol: PackageProxyBase, key: str) -> Loaded | None:
        """The decoded document of this key; None if the object is gone or of an unknown format."""
        found = self._decoded.get(key)
        if found is not None:
            self._decoded.move_to_end(key)
            return found
        try:
            body = await self.read(key)
            if len(body) <= INLINE_BYTES:
                document = protocol.decode_document(body)
            else:
                document = await self._threads.run(protocol.decode_document, body)
        except (ObjectMissing, UpstreamInvalid):
            return None
        return self.remember(key, document, len(body))

    async def read(self, key: str) -> bytes:
        """The canonical bytes. Raises `ObjectMissing`, also for one that has decayed: it is set aside."""
        return await read_whole(self._objects, key, self._threads)

    async def store(self, body: bytes) -> str:
        """The key under which the canonical bytes now lie, durably."""
        key = document_key(body)
        await self._objects.put_bytes(key, body)
        return key

    def remember(self, key: str, document: Any, size_bytes: int) -> Loaded:
        """Keep a decoded document, dropping the least used beyond the bound."""
        loaded = Loaded(key, document, size_bytes)
        if key in self._decoded or size_bytes * DECODED_FACTOR > MAX_DECODED_BYTES // 2:
            return loaded
        self._decoded[key] = loaded
        self._bytes += size_bytes * DECODED_FACTOR
        while self._bytes > MAX_DECODED_BYTES:
            _, dropped = self._decoded.popitem(last=False)
            self._bytes -= dropped.size_bytes * DECODED_FACTOR
        return loaded


def document_key(body: bytes) -> str:
    """The object key of a canonical document."""
    return stored_key(hashlib.sha256(body).hexdigest())
