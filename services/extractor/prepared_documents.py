"""Stored documents as resolvers read them, prepared once and kept in memory between resolutions."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Any

from services.extractor.models_of_files import extraction_with_model
from services.extractor.sandbox import Sandbox
from shared.blocks import ProjectBlocks
from shared.cache import CacheService
from shared.clients.object_verify import read_whole
from shared.clients.objects import ObjectStore
from shared.clients.threads import BoundedThreads
from shared.models import SealedFile
from shared.protocols.base import PackageProxyBase
from shared.protocols.resolution import Absent, Document, Resolver
from shared.resolutions import StoredMetadata

MAX_PAGES = 2048  # a tree of npm may need half of that
MAX_PAGE_BYTES = 192 * 1024 * 1024  # of the documents that the pages were made of
MAX_MODELS = 512
READS_AT_ONCE = 16
PREPARED_AT_ONCE = 8  # whole documents in memory: a packument may have 40 MB
INLINE_BYTES = 16 * 1024  # prepared on the loop: takes less than a thread switch is worth


class PreparedDocuments:
    """Of one process. Methods raise `ObjectMissing` and passing errors of the stores."""

    def __init__(
        self, *, cache: CacheService, store: ObjectStore, threads: BoundedThreads, sandbox: Sandbox
    ) -> None:
        self._cache = cache
        self._store = store
        self._threads = threads
        self._sandbox = sandbox
        self._reads = asyncio.Semaphore(READS_AT_ONCE)
        self._preparing = asyncio.Semaphore(PREPARED_AT_ONCE)
        self._pages: OrderedDict[str, Any] = OrderedDict()
        self._weights: dict[str, int] = {}  # of the pages: bytes of their documents
        self._models: OrderedDict[str, Any] = OrderedDict()  # by protocol and SHA256

    async def read(self, key: str) -> bytes:
        """An object's bytes. Raises `ObjectMissing`."""
        async with self._reads:
            return await read_whole(self._store, key, self._threads)

    async def page(self, resolver: Resolver, key: str) -> Any:
        """A prepared index document. Raises `ObjectMissing`, `UpstreamInvalid`."""
        page = self._pages.get(key)
        if page is None:
            async with self._preparing:
                body = await self.read(key)
                if len(body) <= INLINE_BYTES:
                    page = resolver.prepare_index(body)
                else:
                    page = await self._threads.run(resolver.prepare_index, body)
            self._weights[key] = len(body)
            self._pages[key] = page
            while len(self._pages) > MAX_PAGES or sum(self._weights.values()) > MAX_PAGE_BYTES:
                del self._weights[self._pages.popitem(last=False)[0]]
        else:
            self._pages.move_to_end(key)
        return page

    async def page_without(
        self,
        protocol: PackageProxyBase,
        identity: str,
        key: str,
        blocks: ProjectBlocks,
        sealed: dict[tuple[str, str], SealedFile],
    ) -> Any:
        """As `page`, without what is blocked; prepared each time, since few projects have any of it.
        Raises `Blocked` too."""
        async with self._preparing:
            return await self._prepared_without(protocol, identity, key, blocks, sealed)

    async def _prepared_without(
        self,
        protocol: PackageProxyBase,
        identity: str,
        key: str,
        blocks: ProjectBlocks,
        sealed: dict[tuple[str, str], SealedFile],
    ) -> Any:
        body = await self.read(key)

        def prepare() -> Any:
            assert protocol.resolver is not None
            return protocol.resolver.prepare_index(protocol.without_blocked(identity, body, blocks, sealed))

        return await self._threads.run(prepare)

    async def model(self, protocol: PackageProxyBase, document: Document, row: StoredMetadata) -> Any:
        """A stored file's metadata with its `Extraction.model`, which no row holds: out of the cache,
        else read again in the sandbox. Raises `ObjectMissing` and passing errors."""
        key = f"{protocol.name}:{row.sha256}"
        model = self._models.get(key)
        if model is None:
            extraction = await extraction_with_model(
                protocol,
                document.filename,
                cache=self._cache,
                sandbox=self._sandbox,
                sha256=row.sha256,
                object_key=row.file_key,
                size_bytes=row.size_bytes,
            )
            assert protocol.resolver is not None
            model = protocol.resolver.prepare_metadata(document, extraction)
            if not isinstance(model, Absent):
                _remember(self._models, key, model)
        else:
            self._models.move_to_end(key)
        return model


def _remember(models: OrderedDict[str, Any], key: str, value: Any) -> None:
    models[key] = value
    while len(models) > MAX_MODELS:
        models.popitem(last=False)
