"""What one run of fetching an index writes: rendered bodies under a head, fenced by the generation.

A head of an older generation is refused by the cache: then a newer run has written, and its head stands.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from services.fetcher.indexes.documents import Documents, Known, Loaded
from services.fetcher.indexes.judging import Judging
from services.fetcher.indexes.pages import Page, Pages, sealed_by_key, wanted_by
from services.fetcher.sources.absences import STALE_SECONDS, Absences
from services.fetcher.sources.mutations import report_mutation
from services.fetcher.sources.policy import Owner
from services.fetcher.sources.repository import SourceSet
from shared.access.watcher import AccessWatcher
from shared.artifacts.repository import ArtifactRepository
from shared.cache.service import CacheService
from shared.errors.passing import CacheUnavailable, SupersededError
from shared.models import FORMAT, IndexHead, UpstreamSource
from shared.process.byte_budget import ByteBudget
from shared.process.threads import BoundedThreads
from shared.protocols.base import PackageProxyBase
from shared.protocols.roles.upstream import Lifetime
from shared.queue.jobs import IN_USE, FetchIndex, RenderIndex
from shared.queue.producer import JobQueue
from shared.redis import clock
from shared.settings import Settings
from shared.telemetry.logs import get_logger

log = get_logger()

TTL_JITTER = 0.1  # ±: pages fetched together do not expire together


def stale_seconds(lifetime: Lifetime) -> int:
    """The field `stale_seconds` of `IndexHead`: -1 for the setting's value."""
    return -1 if lifetime.stale is None else lifetime.stale


@dataclass(frozen=True)
class IndexTools:
    """Dependencies of reading, rendering and storing indexes; one per process."""

    documents: Documents
    pages: Pages
    cache: CacheService
    artifacts: ArtifactRepository
    threads: BoundedThreads
    queue: JobQueue
    settings: Settings
    access: AccessWatcher
    judging: Judging
    absences: Absences
    budget: ByteBudget


class IndexWriting:
    """The stored state of an index before it is asked for, and the writing of its bodies and its head."""

    def __init__(
        self,
        tools: IndexTools,
        protocol: PackageProxyBase,
        identity: str,
        project: str,
        generation: int,
        sources: SourceSet,
        asked: Sequence[Owner],
        known: Known,
        job: FetchIndex,
    ) -> None:
        """`asked`: the owners that may be asked now, and so shown. `job` says which bodies are waited for."""
        self._tools = tools
        self._protocol = protocol
        self._identity = identity
        self._project = project
        self._generation = generation
        self._sources = sources
        self._asked = [source for owner in asked for source in owner]
        self._owners = [frozenset(source.id for source in owner) for owner in asked]
        self._shown = frozenset(id for owner in self._owners for id in owner)
        self._good = known.good
        self._sealed = sealed_by_key(known.sealed)
        self._base_url = job.base_url
        self._wanted = wanted_by(job, known.good.head)
        self._verdicts = tools.access.policy.of(protocol.name, project)
        self._lifetime = protocol.upstream.lifetime(identity)

    @property
    def _list_of_versions(self) -> str:
        """The identity of the index by which the project's versions are dated; "" of a list of projects."""
        return self._protocol.grammar.index_identity(self._project) if self._project else ""

    @property
    def _noun(self) -> str:
        """The index in words for people."""
        return self._protocol.grammar.noun_of(self._identity)

    # --- writing ----------------------------------------------------------------------------------

    async def _finish_page(self, loaded: Loaded, body: bytes = b"", modified: str = "") -> Page:
        return await self._tools.pages.finish(
            self._protocol,
            self._identity,
            loaded,
            self._sealed,
            wanted=self._wanted,
            base_url=self._base_url,
            verdicts=self._verdicts,
            body=body,
            modified=modified,
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
        page = await self._finish_page(loaded)
        await self._tools.pages.store(page)
        return await self._write_page(
            page, loaded, source_id, etag, modified, fetched_at=fetched_at, retry_at=retry_at
        )

    async def _write_page(
        self,
        page: Page,
        loaded: Loaded,
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
            document_key=loaded.key,
            edition=self._protocol.documents.edition_of(loaded.document),
            upstream_etag=etag,
            modified=page.modified(modified),
            variants=page.variants,
            failing=retry_at > 0,
            retry_at=retry_at,
            bodies_generation=self._generation,
            blocks=self._verdicts.stamp,
            rules=self._verdicts.rules_stamp,
            due=page.due,
            made_at=clock.now(),
            refused=page.refused,
            stale_seconds=stale_seconds(self._lifetime),
        )
        written = await self._tools.cache.write_index(self._protocol.name, self._identity, head, page.bodies)
        return head if written else await self._superseded()

    async def _superseded(self) -> IndexHead:
        """Called when a newer run has written. If it rendered an older document, the newest one is rendered
        again."""
        name = self._protocol.name
        good = await self._tools.documents.last_good(name, self._identity)
        if good.head is None or good.row is None or good.head.document_key != good.row.document_key:
            await self._tools.queue.enqueue(
                RenderIndex(protocol=name, identity=self._identity, variant=IN_USE)
            )
        log.info("index_superseded", identity=self._identity)
        if good.head is None:
            raise SupersededError(f"the index of {self._noun} was changed meanwhile")
        return good.head

    async def _kept_absence(self) -> IndexHead | None:
        """A negative entry if an absence is stored for exactly the sources that may be asked."""
        row = self._good.row
        if row is not None and not row.gone_at:
            return None
        reason = await self._tools.absences.kept(self._protocol.name, self._identity, self._shown)
        return None if reason is None else await self._write_negative(STALE_SECONDS, reason, failing=True)

    async def _write_negative(self, seconds: float, reason: str = "", *, failing: bool = False) -> IndexHead:
        """`failing`: no source could be asked just now; clients see it marked as STALE."""
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
                return False  # the waiters learn of it by the event
            raise

    async def _report_mutations(self, source: UpstreamSource, loaded: Loaded) -> None:
        for sealed, digest in self._protocol.pages.mutated_files(loaded.document, self._sealed):
            detail = {"sealed_sha256": sealed.sha256, "upstream_sha256": digest, "source": source.name}
            about = self._protocol.name, self._project, sealed.filename
            await report_mutation(self._tools.artifacts, *about, **detail)

    @property
    def _absent_seconds(self) -> float:
        """How long a true 404 of it is cached, in seconds."""
        own = self._lifetime.absent
        return self._tools.settings.cache_ttl_negative if own is None else own

    def _fresh_until(self) -> float:
        own = self._lifetime.fresh
        ttl = self._tools.settings.cache_ttl_index if own is None else own
        return clock.now() + ttl * random.uniform(1 - TTL_JITTER, 1 + TTL_JITTER)
