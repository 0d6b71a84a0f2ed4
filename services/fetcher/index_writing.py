"""What one run of fetching an index writes: bodies finished for clients, under a head, behind a fence.

A head of an older generation is refused by the cache: then a newer writer was here, and it stands.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from services.fetcher.absences import STALE_SECONDS, Absences
from services.fetcher.documents import Documents, LastGood, Loaded
from services.fetcher.pages import Page, Pages, sealed_by_key
from shared import clock
from shared.access_watcher import AccessWatcher
from shared.artifacts import ArtifactRepository
from shared.byte_budget import ByteBudget
from shared.cache import CacheService
from shared.clients.queue import JobQueue
from shared.clients.threads import BoundedThreads
from shared.errors import CacheUnavailable, SupersededError
from shared.jobs import RenderIndex
from shared.logs import get_logger
from shared.metrics import UPSTREAM_MUTATED
from shared.models import FORMAT, IndexHead, SealedFile, UpstreamSource
from shared.protocols.base import PackageProxyBase
from shared.settings import Settings
from shared.source_policy import Owner
from shared.sources import SourceSet

log = get_logger()

TTL_JITTER = 0.1  # ±: pages fetched together do not expire together


@dataclass(frozen=True)
class IndexTools:
    """What reading, finishing and storing indexes needs; one per process."""

    documents: Documents
    pages: Pages
    cache: CacheService
    artifacts: ArtifactRepository
    threads: BoundedThreads
    queue: JobQueue
    settings: Settings
    access: AccessWatcher
    absences: Absences
    budget: ByteBudget


class IndexWriting:
    """What was known of an index before it was asked for, and how its bodies and its head are written."""

    def __init__(
        self,
        tools: IndexTools,
        protocol: PackageProxyBase,
        identity: str,
        project: str,
        generation: int,
        sources: SourceSet,
        asked: Sequence[Owner],
        good: LastGood,
        sealed: Sequence[SealedFile],
        base_url: str = "",
    ) -> None:
        """`asked`: who may be asked for it now, and so shown. `base_url`: the address whose
        bodies to finish, where bodies differ by it."""
        self._tools = tools
        self._protocol = protocol
        self._identity = identity
        self._project = project
        self._generation = generation
        self._sources = sources
        self._asked = [source for owner in asked for source in owner]
        self._owners = [frozenset(source.id for source in owner) for owner in asked]
        self._shown = frozenset(id for owner in self._owners for id in owner)
        self._good = good
        self._sealed = sealed_by_key(sealed)
        self._base_url = base_url
        self._blocks = tools.access.blocks.of(protocol.name, project)

    # --- writing ----------------------------------------------------------------------------------

    async def _make_page(self, loaded: Loaded, body: bytes = b"") -> Page:
        return await self._tools.pages.make(
            self._protocol,
            self._identity,
            loaded,
            self._sealed,
            base_url=self._base_url,
            blocks=self._blocks,
            body=body,
        )

    async def _render(
        self,
        loaded: Loaded,
        source_id: int,
        etag: str,
        modified: str,
        *,
        fetched_at: float = 0.0,
        retry_at: float = 0.0,
    ) -> IndexHead:
        page = await self._make_page(loaded)
        return await self._write_page(
            page, loaded.key, source_id, etag, modified, fetched_at=fetched_at, retry_at=retry_at
        )

    async def _write_page(
        self,
        page: Page,
        key: str,
        source_id: int,
        etag: str,
        modified: str,
        *,
        fetched_at: float = 0.0,
        retry_at: float = 0.0,
    ) -> IndexHead:
        """`retry_at` not 0: the page is an old one, served while the upstream fails."""
        head = IndexHead(
            format=FORMAT,
            status=200,
            generation=self._generation,
            source_revision=self._sources.revision,
            source_id=source_id,
            fetched_at=fetched_at or clock.now(),
            fresh_until=fetched_at or self._fresh_until(),
            document_key=key,
            upstream_etag=etag,
            upstream_last_modified=modified,
            variants=page.variants,
            failing=retry_at > 0,
            retry_at=retry_at,
            bodies_generation=self._generation,
            blocks=self._blocks.stamp,
        )
        written = await self._tools.cache.write_index(self._protocol.name, self._identity, head, page.bodies)
        return head if written else await self._superseded()

    async def _superseded(self) -> IndexHead:
        """A newer writer was here. If it showed an older document, have the newest one rendered."""
        name = self._protocol.name
        good = await self._tools.documents.last_good(name, self._identity)
        if good.head is None or good.row is None or good.head.document_key != good.row.document_key:
            await self._tools.queue.enqueue(RenderIndex(protocol=name, identity=self._identity))
        log.info("index_superseded", identity=self._identity)
        if good.head is None:
            raise SupersededError(f"{self._identity} was changed meanwhile")
        return good.head

    async def _kept_absence(self) -> IndexHead | None:
        """The entry for what all who may be asked have said to lack, if that was their last word."""
        row = self._good.row
        if row is not None and not row.gone_at:
            return None
        reason = await self._tools.absences.kept(self._protocol.name, self._identity, self._shown)
        return None if reason is None else await self._write_negative(STALE_SECONDS, reason, failing=True)

    async def _write_negative(self, seconds: float, reason: str = "", *, failing: bool = False) -> IndexHead:
        """`failing`: nobody could be asked just now; clients see it marked as STALE."""
        now = clock.now()
        head = IndexHead(
            format=FORMAT,
            status=404,
            generation=self._generation,
            source_revision=self._sources.revision,
            source_id=0,
            fetched_at=now,
            fresh_until=now + seconds,
            reason=reason,
            failing=failing,
        )
        await self._write_head(head)
        return head

    async def _write_head(self, head: IndexHead) -> bool:
        try:
            return await self._tools.cache.write_head(self._protocol.name, self._identity, head)
        except CacheUnavailable:
            if head.status == 404:
                return False  # the waiters hear of it by the event
            raise

    async def _report_mutations(self, source: UpstreamSource, loaded: Loaded) -> None:
        for sealed, digest in self._protocol.mutated_files(loaded.document, self._sealed):
            UPSTREAM_MUTATED.labels(self._protocol.name).inc()
            detail = {"sealed_sha256": sealed.sha256, "upstream_sha256": digest, "source": source.name}
            log.warning("upstream_mutated", project=self._project, filename=sealed.filename, **detail)
            await self._tools.artifacts.record_event(
                "upstream_mutated", self._protocol.name, self._project, sealed.filename, detail
            )

    def _fresh_until(self) -> float:
        ttl = self._tools.settings.cache_ttl_index
        return clock.now() + ttl * random.uniform(1 - TTL_JITTER, 1 + TTL_JITTER)
