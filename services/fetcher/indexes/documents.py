"""The last good index documents: stored under their hash, and decoded ones kept in memory.

A page of thousands of files takes milliseconds to decode; a burst of cold files of one project
decodes it once.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
from typing import Any

import msgspec

from shared.errors import UpstreamInvalid
from shared.errors.passing import CacheUnavailable, ObjectMissing
from shared.models import IndexHead, SealedFile, StoredDocument
from shared.objects.port import document_key as stored_key
from shared.objects.verify import read_whole
from shared.process.bounded import Bounded
from shared.protocols.base import PackageProxyBase
from shared.stores import Stores

INLINE_BYTES = 64 * 1024  # bytes decoded on the loop: faster than switching to a thread
DECODED_FACTOR = 8  # factor: memory of a document's Python objects to its bytes
MAX_DECODED_BYTES = 96 * 1024 * 1024  # of estimated memory


class LastGood(msgspec.Struct, frozen=True):
    """The stored state of an index: the head in the cache and the row in the database; each may be
    missing."""

    head: IndexHead | None
    row: StoredDocument | None
    raw_head: bytes = b""  # the head as it stands

    @property
    def document_key(self) -> str:
        """Object key of the newest document; "" if there never was one."""
        if self.row is not None:
            return self.row.document_key
        return self.head.document_key if self.head is not None else ""

    @property
    def source_id(self) -> int:
        return self.row.source_id if self.row is not None else (self.head.source_id if self.head else 0)


class Known(msgspec.Struct, frozen=True):
    """An index with what is known of its project."""

    good: LastGood
    pinned: frozenset[int]
    sealed: list[SealedFile]


class Loaded(msgspec.Struct, frozen=True):
    """A decoded document with its key and the size of its canonical bytes."""

    key: str
    document: Any
    size_bytes: int

    @classmethod
    def of(cls, body: bytes, document: Any) -> Loaded:
        """Of its canonical bytes, which are hashed: a millisecond for each two megabytes."""
        return cls(stored_key(hashlib.sha256(body).hexdigest()), document, len(body))


class Documents:
    """Reads, writes and remembers documents. Decoded documents are shared: nobody changes them."""

    def __init__(self, stores: Stores) -> None:
        self._cache = stores.cache
        self._artifacts = stores.artifacts
        self._objects = stores.objects
        self._threads = stores.threads
        self._decoded = Bounded[str, Loaded](max_weight=MAX_DECODED_BYTES)

    async def last_good(self, protocol: str, identity: str) -> LastGood:
        """Head and row. A cache that is away counts as empty; the database is needed."""
        (head, raw), row = await asyncio.gather(
            self._head(protocol, identity), self._artifacts.stored_document(protocol, identity)
        )
        return LastGood(head, row, raw)

    async def known(self, protocol: PackageProxyBase, identity: str) -> Known:
        """As `last_good`, with the pin and the stored files of its project. One query."""
        project = protocol.grammar.project_of(identity)
        names = protocol.names.pin_names(project) if project else ()
        (head, raw), state = await asyncio.gather(
            self._head(protocol.name, identity),
            self._artifacts.index_state(protocol.name, identity, project, names),
        )
        return Known(LastGood(head, state.document, raw), state.pinned, state.sealed)

    async def head(self, protocol: str, identity: str) -> IndexHead | None:
        """The head alone, None also when the cache does not answer."""
        return (await self._head(protocol, identity))[0]

    async def _head(self, protocol: str, identity: str) -> tuple[IndexHead | None, bytes]:
        try:
            return await self._cache.read_head(protocol, identity)
        except CacheUnavailable:
            return None, b""

    async def load_stored(self, protocol: PackageProxyBase, key: str) -> Loaded | None:
        """As `load`, but None also if only memory still has it: a lost object must be fetched anew."""
        try:
            await self.read(key)
        except ObjectMissing:
            return None
        return await self.load(protocol, key)

    async def load(
        self, protocol: PackageProxyBase, key: str, *, most_bytes: float = math.inf
    ) -> Loaded | None:
        """The decoded document of this key; None if the object is gone, of an unknown format, or larger than
        `most_bytes` and not decoded already."""
        found = self._decoded.use(key)
        if found is not None:
            return found
        try:
            body = await self.read(key)
            if len(body) > most_bytes:
                return None
            if len(body) <= INLINE_BYTES:
                document = protocol.documents.decode_document(body)
            else:
                document = await self._threads.run(protocol.documents.decode_document, body)
        except (ObjectMissing, UpstreamInvalid):
            return None
        return self.remember(Loaded(key, document, len(body)))

    async def read(self, key: str) -> bytes:
        """The canonical bytes. Raises `ObjectMissing`, also for one that has decayed: it is set aside."""
        return await read_whole(self._objects, key, self._threads)

    async def store(self, loaded: Loaded, body: bytes) -> None:
        """Put its canonical bytes under its key, durably."""
        await self._objects.put_bytes(loaded.key, body)

    def remember(self, loaded: Loaded) -> Loaded:
        """Cache a decoded document, dropping the least recently used beyond the bound."""
        weight = loaded.size_bytes * DECODED_FACTOR
        if loaded.key not in self._decoded and weight <= MAX_DECODED_BYTES // 2:
            self._decoded.put(loaded.key, loaded, weight)
        return loaded
