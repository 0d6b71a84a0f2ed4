"""Job `render_index`: render an index's bodies again from the last good document, without upstream.

For back-filled metadata, for a variant that nobody had asked for, or that was evicted.
"""

from __future__ import annotations

import contextlib

import msgspec

from services.fetcher.indexes.documents import Known, LastGood, Loaded
from services.fetcher.indexes.pages import Page, Wanted, sealed_by_key, wanted_by
from services.fetcher.indexes.writing import IndexTools, stale_seconds
from services.fetcher.sources.policy import candidates
from services.fetcher.sources.watcher import SourceWatcher
from shared.errors.passing import DatabaseUnavailable, StoreUnavailable
from shared.models import FORMAT, IndexHead
from shared.policy.project import ProjectVerdicts
from shared.protocols import protocol_named
from shared.protocols.base import PackageProxyBase
from shared.queue.context import JobContext
from shared.queue.jobs import IN_USE, RenderIndex
from shared.redis import clock
from shared.telemetry.logs import get_logger

log = get_logger()


TRIES = 20  # of one job to write, while others write the page too: of as many, each time one gets through

Made = dict[tuple[str, Wanted], Page]
"""What this job has finished already, by document."""


class RenderIndexJob:
    """Handler of `RenderIndex`."""

    def __init__(self, *, sources: SourceWatcher, tools: IndexTools) -> None:
        self._sources = sources
        self._tools = tools

    async def __call__(self, ctx: JobContext, job: RenderIndex) -> None:
        """Raises `StoreUnavailable` when there is no document to render from."""
        protocol = protocol_named(job.protocol)
        project = protocol.grammar.project_of(job.identity)
        with contextlib.suppress(DatabaseUnavailable):  # the gateway that asks may know of a newer policy
            await self._tools.access.catch_up()
        policy = self._tools.access.policy
        policy.check(job.protocol, project, page=True)
        made: Made = {}
        for _ in range(TRIES):
            known = await self._tools.documents.known(protocol, job.identity)
            verdicts = policy.of(job.protocol, project)
            if await self._render(protocol, job, known, ctx.generation, verdicts, made):
                break
        else:
            log.info("render_superseded", identity=job.identity)
        ctx.done()

    async def _render(
        self,
        protocol: PackageProxyBase,
        job: RenderIndex,
        known: Known,
        generation: int,
        verdicts: ProjectVerdicts,
        made: Made,
    ) -> bool:
        """False: others have written the page meanwhile, perhaps without what is asked for here."""
        good = known.good
        gone = good.row is not None and good.row.gone_at
        if gone or (good.head is not None and good.head.status != 200):
            return True  # a true 404 wins over the last good document, and so does a block
        key = good.document_key
        loaded = await self._tools.documents.load(protocol, key) if key else None
        if loaded is None:
            noun = protocol.grammar.noun_of(job.identity)
            raise StoreUnavailable(f"there is no document of {noun} to render")
        head = self._head_for(protocol, job.identity, good, loaded, known.pinned, generation)
        if head is None:
            noun = protocol.grammar.noun_of(job.identity)
            raise StoreUnavailable(f"{noun} came from a source that may not be shown now")
        old = good.head
        stands = old is not None and old.document_key == key and verdicts.stands(old, clock.now())
        adds = stands and job.variant != IN_USE and bool(job.variant or job.base_url)
        wanted = Wanted(frozenset({job.variant})) if adds and job.variant else wanted_by(job, old)
        page = made.get((key, wanted))
        if page is None:
            page = made[key, wanted] = await self._tools.pages.finish(
                protocol,
                job.identity,
                loaded,
                sealed_by_key(known.sealed),
                wanted=wanted,
                base_url=job.base_url,
                verdicts=verdicts,
            )
            await self._tools.pages.store(page)
        if adds and old is not None:
            # The other bodies stay valid beside these, and their head is no other than it was.
            head = msgspec.structs.replace(
                old,
                variants=old.variants | page.variants,
                modified=page.modified(old.modified),
                due=page.due,  # of a head without bodies it is not known yet
                refused=page.refused,
            )
        else:
            told = good.row.upstream_last_modified if good.row is not None else ""
            head = msgspec.structs.replace(
                head,
                variants=page.variants,
                bodies_generation=generation,
                blocks=verdicts.stamp,
                rules=verdicts.rules_stamp,
                due=page.due,
                made_at=clock.now(),
                refused=page.refused,
                modified=page.modified(told),
            )
        return await self._tools.cache.write_index(
            job.protocol, job.identity, head, page.bodies, over=good.raw_head
        )

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
            asked = candidates(sources.sources, protocol.grammar.project_of(identity), pinned)
            if not any(source.id == good.source_id for source in asked):
                return None
        head, row = good.head, good.row
        edition = protocol.documents.edition_of(loaded.document)
        if head is not None and head.status == 200:
            if head.source_revision < revision:
                return None
            return msgspec.structs.replace(
                head,
                generation=generation,
                source_revision=revision,
                document_key=loaded.key,
                edition=edition,
            )
        assert row is not None  # the document's key came from one of the two
        return IndexHead(
            format=FORMAT,
            status=200,
            generation=generation,
            source_revision=revision,
            source_id=row.source_id,
            fetched_at=row.fetched_at,
            fresh_until=row.fetched_at,  # whether it is current is unknown: the next request asks
            document_key=loaded.key,
            upstream_etag=row.upstream_etag,
            stale_seconds=stale_seconds(protocol.upstream.lifetime(identity)),
            edition=edition,
        )
