"""Job `render_index`: finish an index's bodies again from the last good document, without upstream.

For back-filled metadata, for a variant that was evicted, and for another base URL.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib

import msgspec

from services.fetcher.documents import LastGood, Loaded
from services.fetcher.index_writing import IndexTools
from services.fetcher.pages import sealed_by_key
from shared.blocks import ProjectBlocks
from shared.clients.queue_context import JobContext
from shared.errors import DatabaseUnavailable, StoreUnavailable
from shared.jobs import RenderIndex
from shared.logs import get_logger
from shared.models import FORMAT, IndexHead, SealedFile
from shared.protocols import protocol_named
from shared.protocols.base import PackageProxyBase
from shared.source_policy import candidates
from shared.source_watcher import SourceWatcher

log = get_logger()


class RenderIndexJob:
    """Handler of `RenderIndex`."""

    def __init__(self, *, sources: SourceWatcher, tools: IndexTools) -> None:
        self._sources = sources
        self._tools = tools

    async def __call__(self, ctx: JobContext, job: RenderIndex) -> None:
        """Raises `StoreUnavailable` when there is no document to render from."""
        protocol = protocol_named(job.protocol)
        project = protocol.project_of(job.identity)
        with contextlib.suppress(DatabaseUnavailable):  # whoever asks may know of newer blocks
            await self._tools.access.catch_up()
        blocks = self._tools.access.blocks
        blocks.check(job.protocol, project)
        good = await self._tools.documents.last_good(job.protocol, job.identity)
        sealed: list[SealedFile] = []
        pinned: frozenset[int] = frozenset()
        if project:
            sealed, pinned = await asyncio.gather(
                self._tools.artifacts.sealed_files(job.protocol, project),
                self._tools.artifacts.pinned(job.protocol, protocol.pin_names(project)),
            )
        await self._render(
            protocol, job, good, sealed, pinned, ctx.generation, blocks.of(job.protocol, project)
        )
        await ctx.publish("done")

    async def _render(
        self,
        protocol: PackageProxyBase,
        job: RenderIndex,
        good: LastGood,
        sealed: list[SealedFile],
        pinned: frozenset[int],
        generation: int,
        blocks: ProjectBlocks,
    ) -> None:
        gone = good.row is not None and good.row.gone_at
        if gone or (good.head is not None and good.head.status == 404):
            return  # a true 404 wins over the last good document
        key = good.document_key
        loaded = await self._tools.documents.load(protocol, key) if key else None
        if loaded is None:
            raise StoreUnavailable(f"there is no document of {job.identity} to render")
        head = self._head_for(protocol, job.identity, good, loaded, pinned, generation)
        if head is None:
            raise StoreUnavailable(f"{job.identity} came from a source that may not be shown now")
        page = await self._tools.pages.make(
            protocol, job.identity, loaded, sealed_by_key(sealed), base_url=job.base_url, blocks=blocks
        )
        adds = job.base_url and good.head is not None and good.head.document_key == key
        if adds and good.head is not None and good.head.blocks == blocks.stamp:
            # Bodies for one more address: those of the others stay valid beside them.
            suffix = "." + hashlib.sha256(job.base_url.encode()).hexdigest()[:16]
            others = {n: v for n, v in good.head.variants.items() if not n.endswith(suffix)}
            head = msgspec.structs.replace(
                head,
                variants=others | page.variants,
                bodies_generation=good.head.bodies_generation,
            )
        else:
            head = msgspec.structs.replace(
                head, variants=page.variants, bodies_generation=generation, blocks=blocks.stamp
            )
        if not await self._tools.cache.write_index(job.protocol, job.identity, head, page.bodies):
            log.info("render_superseded", identity=job.identity)

    def _head_for(
        self,
        protocol: PackageProxyBase,
        identity: str,
        good: LastGood,
        loaded: Loaded,
        pinned: frozenset[int],
        generation: int,
    ) -> IndexHead | None:
        """The head to write: freshness as it was. None if the document's source may not be asked any
        more, or the sources have changed since: rendering must not make a page current again."""
        sources = self._sources.current(protocol.name)
        revision = sources.revision if sources is not None else 0
        if sources is not None:
            asked = candidates(sources.sources, protocol.project_of(identity), pinned)
            if not any(source.id == good.source_id for source in asked):
                return None
        head, row = good.head, good.row
        if head is not None and head.status == 200:
            if head.source_revision < revision:
                return None
            return msgspec.structs.replace(
                head, generation=generation, source_revision=revision, document_key=loaded.key
            )
        assert row is not None  # the document's key came from one of the two
        return IndexHead(
            format=FORMAT,
            status=200,
            generation=generation,
            source_revision=revision,
            source_id=row.source_id,
            fetched_at=row.fetched_at,
            fresh_until=row.fetched_at,  # nobody knows whether it is current: the next request asks
            document_key=loaded.key,
            upstream_etag=row.upstream_etag,
            upstream_last_modified=row.upstream_last_modified,
        )
