"""Job `render_view`: render a page as a view shows it, from its last good document (docs/decisions/0050)."""

from __future__ import annotations

import contextlib

import msgspec

from services.fetcher.indexes.documents import Known, Loaded
from services.fetcher.indexes.job import FetchIndexJob
from services.fetcher.indexes.pages import Sealed, Wanted, sealed_by_key
from services.fetcher.indexes.writing import IndexTools
from services.fetcher.views.dates import VersionDates
from shared.cache.keys import in_view, unaddressed
from shared.errors import ProjectNotFound
from shared.errors.passing import CacheUnavailable, DatabaseUnavailable, StoreUnavailable
from shared.models import IndexHead
from shared.policy.age import Dated
from shared.policy.project import ProjectVerdicts
from shared.protocols import protocol_named
from shared.protocols.base import PackageProxyBase
from shared.protocols.dating import by_entry
from shared.protocols.reading.views import View, view_named
from shared.queue.context import JobContext
from shared.queue.jobs import IN_USE, FetchIndex, RenderView
from shared.redis import clock
from shared.telemetry.logs import get_logger

log = get_logger()

STALE_SECONDS = 86_400
"""So long after it has expired the page of a view is kept: a view may be anybody's, of any moment."""

TRIES = 5  # of one job to write, while others write the page too


class RenderViewJob:
    """Handler of `RenderView`. It asks no upstream but for what dates a page (`VersionDates`)."""

    def __init__(self, *, tools: IndexTools, fetch_index: FetchIndexJob, dates: VersionDates) -> None:
        self._tools = tools
        self._fetch_index = fetch_index
        self._dates = dates

    async def __call__(self, ctx: JobContext, job: RenderView) -> None:
        """Raises `StoreUnavailable` where there is no page to make it of, `NotInView` for a document of one
        version that was not there."""
        protocol, view = protocol_named(job.protocol), view_named(job.view)
        project = protocol.grammar.project_of(job.identity)
        with contextlib.suppress(DatabaseUnavailable):  # the gateway that asks may know of a newer policy
            await self._tools.access.catch_up()
        self._tools.access.policy.check(job.protocol, project, page=True)
        await self._have_list(protocol, job.identity, project, ctx.generation)
        for _ in range(TRIES):
            if await self._render(protocol, view, job, project, ctx.generation):
                break
        else:
            log.info("view_superseded", identity=job.identity, view=job.view)
        ctx.done()

    async def _have_list(
        self, protocol: PackageProxyBase, identity: str, project: str, generation: int
    ) -> None:
        """A document of one version is dated by its project's list."""
        listing = protocol.grammar.index_identity(project) if project else identity
        if listing == identity:
            return
        good = await self._tools.documents.last_good(protocol.name, listing)
        if not good.document_key:
            with contextlib.suppress(ProjectNotFound):
                await self._fetch_index.run(FetchIndex(protocol.name, listing, variant=IN_USE), generation)

    async def _render(
        self, protocol: PackageProxyBase, view: View, job: RenderView, project: str, generation: int
    ) -> bool:
        """False: others have written the page meanwhile, perhaps without what is asked for here."""
        known = await self._tools.documents.known(protocol, job.identity)
        plain, key = known.good.head, known.good.document_key
        if plain is None or plain.status != 200 or plain.document_key != key:
            raise StoreUnavailable(f"there is no page of {protocol.grammar.noun_of(job.identity)} to show")
        loaded = await self._tools.documents.load(protocol, key)
        if loaded is None:
            raise StoreUnavailable(f"there is no document of {protocol.grammar.noun_of(job.identity)}")
        sealed = sealed_by_key(known.sealed)
        await self._date(protocol, view, job, known, loaded, sealed, generation)
        verdicts = self._tools.access.policy.of(job.protocol, project).seen_from(view.moment)
        own, over = await self._own(job)
        beside = own if own is not None and _stands(own, plain, verdicts) else None  # its bodies stay
        names = {job.variant}
        if beside is None and own is not None:
            names |= unaddressed(own.variants, job.base_url)
        page = await self._tools.pages.finish(
            protocol,
            job.identity,
            loaded,
            sealed,
            wanted=Wanted(frozenset(names)),
            base_url=job.base_url,
            verdicts=verdicts,
        )
        await self._tools.pages.store(page)
        head = msgspec.structs.replace(
            plain,
            generation=generation if beside is None else beside.generation,
            variants=page.variants if beside is None else beside.variants | page.variants,
            bodies_generation=generation if beside is None else beside.bodies_generation,
            blocks=verdicts.stamp,
            rules=verdicts.rules_stamp,
            due=page.due,
            made_at=clock.now(),
            refused=page.refused,
            modified=page.modified(plain.modified),
            stale_seconds=STALE_SECONDS,
            failing=False,
            counterpart=plain.bodies_generation,
        )
        return await self._tools.cache.write_index(
            job.protocol, in_view(job.view, job.identity), head, page.bodies, over=over
        )

    async def _date(
        self,
        protocol: PackageProxyBase,
        view: View,
        job: RenderView,
        known: Known,
        loaded: Loaded,
        sealed: Sealed,
        generation: int,
    ) -> None:
        project = protocol.grammar.project_of(job.identity)
        if not project or job.identity != protocol.grammar.index_identity(project):
            return
        stored = by_entry(protocol, project, sealed.values(), loaded.document)

        def was_here(listed: Dated) -> bool:
            return any(0 < each.stored_at <= view.moment for each in stored.get(listed.name, ()))

        await self._dates.find(protocol, job.identity, known.good, loaded, was_here, generation)

    async def _own(self, job: RenderView) -> tuple[IndexHead | None, bytes]:
        try:
            return await self._tools.cache.read_head(job.protocol, in_view(job.view, job.identity))
        except CacheUnavailable:
            return None, b""


def _stands(own: IndexHead, plain: IndexHead, verdicts: ProjectVerdicts) -> bool:
    made_of_it = own.document_key == plain.document_key and own.counterpart == plain.bodies_generation
    return made_of_it and verdicts.stands(own, clock.now())
