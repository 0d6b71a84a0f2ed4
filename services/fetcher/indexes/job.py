"""Job `fetch_index`: ask upstream for an index, store the document, render its bodies."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from services.fetcher.indexes.judging import refuse_version
from services.fetcher.indexes.merged import MergedIndex
from services.fetcher.indexes.pages import sealed_by_key
from services.fetcher.indexes.relaying import IndexRelay, Relays
from services.fetcher.indexes.run import IndexRun
from services.fetcher.indexes.shares import SourceShares
from services.fetcher.indexes.writing import IndexTools
from services.fetcher.sources.policy import Owner, nobody_asked, owners, unheard, why_absent
from services.fetcher.sources.repository import SourceSet
from services.fetcher.sources.shadows import Shadows
from services.fetcher.sources.upstreams import Upstreams
from services.fetcher.sources.watcher import SourceWatcher
from shared.errors import Blocked, LastingError, OrchardError, ProjectNotFound, UpstreamStrayed
from shared.errors.passing import PassingError, UpstreamUnavailable
from shared.models import IndexHead
from shared.protocols import protocol_named
from shared.protocols.base import PackageProxyBase
from shared.queue.context import JobContext
from shared.queue.jobs import IN_USE, FetchIndex
from shared.redis import clock
from shared.telemetry.logs import get_logger

log = get_logger()


class FetchIndexJob:
    """Handler of `FetchIndex`; jobs of other kinds call `run` inline."""

    def __init__(
        self,
        *,
        upstreams: Upstreams,
        sources: SourceWatcher,
        tools: IndexTools,
        shadows: Shadows,
        came: Callable[[FetchIndex, IndexHead], None],
        relays: Relays,
        shares: SourceShares,
    ) -> None:
        """`came` is told of each page that a job brought, and waits for nothing. `shares`: of refreshes."""
        self._shares = shares
        self._relays = relays
        self._came = came
        self._upstreams = upstreams
        self._sources = sources
        self._tools = tools
        self._shadows = shadows

    async def __call__(self, ctx: JobContext, job: FetchIndex) -> None:
        """Raises the upstream's error only when there is no good document to fall back to."""
        await self._handle(ctx, job, None)

    async def refresh(self, ctx: JobContext, job: FetchIndex) -> None:
        """The same in a slot for refreshes. Raises `Deferred` too, see `SourceShares.turn`."""
        await self._handle(ctx, job, self._shares)

    async def _handle(self, ctx: JobContext, job: FetchIndex, shares: SourceShares | None) -> None:
        protocol = protocol_named(job.protocol)
        look = await self._shadows.due(protocol, job.identity, self.sources_of(job.protocol).sources)

        async def shown() -> None:
            await ctx.publish("done")

        relay = self._relays(ctx, job)
        try:
            head = await self.run(job, ctx.generation, shown=shown, relay=relay, shares=shares)
        finally:
            relay.close()
        self._came(job, head)
        if look is None or head.status != 200:
            ctx.done()
            return
        await ctx.publish("done")  # nobody waits for what comes now
        await self._shadows.look(look)

    async def run(
        self,
        job: FetchIndex,
        generation: int,
        *,
        shown: Callable[[], Awaitable[None]] | None = None,
        relay: IndexRelay | None = None,
        shares: SourceShares | None = None,
    ) -> IndexHead:
        """The head that was written: status 200 (perhaps failing) or 404. `shown` is called once a page that
        the cache has lost is there again from its last good document, while the sources take long. `relay`
        is given what a source answers while that is read. With `shares` its first source must have a turn."""
        protocol_name, identity = job.protocol, job.identity
        protocol = protocol_named(protocol_name)
        project = protocol.grammar.project_of(identity)
        sources = self.sources_of(protocol_name)
        policy = self._tools.access.policy
        policy.check(protocol_name, project, page=True)
        if project and policy.of(protocol_name, project).judges:
            await self._refuse_young(protocol, identity, project, generation)
        known, _ = await asyncio.gather(
            self._tools.documents.known(protocol, identity),
            self._foresee(protocol, identity, owners(sources.sources, project)),
        )
        pinned = known.pinned
        asked = owners(sources.sources, project, pinned)

        def run_of(generation: int) -> IndexRun:
            return IndexRun(self._tools, protocol, identity, project, generation, sources, asked, known, job)

        run = run_of(generation)
        if not asked:
            error = nobody_asked(sources.sources, project, pinned, ProjectNotFound)
            log.warning(
                "no_source_may_be_asked", protocol=protocol_name, identity=identity, reason=error.message
            )
            if isinstance(error, ProjectNotFound):
                return await run.not_found(error.message)
            raise error
        if self._upstreams.cut_off(source for owner in asked for source in owner):
            return await run.restore_offline()
        merged = MergedIndex(self._upstreams, self._tools, protocol, identity, project, generation)
        turn = contextlib.ExitStack()
        if shares is not None:
            turn.enter_context(shares.turn(asked[0][0].id))
        late = None if shown is None else asyncio.create_task(self._show_old(run_of(generation - 1), shown))
        try:
            for owner in asked:
                if protocol.documents.merges(identity) and len(owner) > 1:
                    head = await merged.fetch(run, owner)
                else:
                    head = await self._of_owner(run, protocol, identity, owner, relay)
                if head is not None:
                    return head
                if len(asked) > 1 and await self._upstreams.lists(protocol, identity, owner):
                    pinned = frozenset(source.id for source in owner)  # it has the project: no one else
                    break
        except UpstreamStrayed as error:
            await self._tools.artifacts.record_event(
                "upstream_strayed", protocol_name, project, "", {"because": error.message}
            )
            return await run.fail(error)
        except Blocked as error:
            await run.refuse(error)
            raise
        except (PassingError, LastingError) as error:
            return await run.fail(error)
        finally:
            turn.close()
            if late is not None:
                late.cancel()
        if nobody := unheard(sources.sources, project, pinned):
            raise nobody
        return await run.not_found(
            why_absent(sources.sources, project, pinned, protocol.grammar.noun_of(identity))
        )

    async def _foresee(self, protocol: PackageProxyBase, identity: str, likely: list[Owner]) -> None:
        """Of the source that is asked unless a pin says otherwise, in one round trip with the page's head."""
        if likely and not self._upstreams.offline:
            await self._upstreams.foresee(protocol, identity, likely[0][0])

    async def _refuse_young(
        self, protocol: PackageProxyBase, identity: str, project: str, generation: int
    ) -> None:
        """Has the project's list of versions fetched before a document that is about one of them: its dates
        are there. Raises `Blocked` or `TooYoung`, before the upstream is asked for that version."""
        list_of_versions = protocol.grammar.index_identity(project)
        if identity == list_of_versions:
            return
        head = await self._tools.documents.head(protocol.name, list_of_versions)
        if head is None or not clock.is_fresh(clock.now(), head.fetched_at, head.fresh_until):
            with contextlib.suppress(ProjectNotFound):
                await self.run(FetchIndex(protocol.name, list_of_versions, variant=IN_USE), generation)
        verdicts = self._tools.access.policy.of(protocol.name, project)
        sealed = (await self._tools.documents.known(protocol, list_of_versions)).sealed
        _, found = await self._tools.judging.of_project(protocol, project, sealed_by_key(sealed), verdicts)
        refuse_version(protocol, identity, found)

    async def _show_old(self, run: IndexRun, shown: Callable[[], Awaitable[None]]) -> None:
        await asyncio.sleep(self._tools.settings.stale_wait)
        try:
            if await run.show_old():
                await shown()
        except OrchardError as error:  # clients wait for the answer instead
            log.warning("old_index_not_shown", error=error.code)

    async def _of_owner(
        self,
        run: IndexRun,
        protocol: PackageProxyBase,
        identity: str,
        owner: Owner,
        relay: IndexRelay | None,
    ) -> IndexHead | None:
        """The head made of the first answer that is not a 404; None if all of them truly lack it."""
        opened = None if relay is None else relay.opened
        answer = await self._upstreams.ask_index(protocol, identity, owner, run.validators(), opened)
        if answer is not None and answer.not_modified:
            head = await run.not_modified(answer)
            if head is not None:
                return head
            # A 304 for a document that is lost, or was read otherwise then: ask again without conditions.
            answer = await self._upstreams.ask_index(protocol, identity, owner, None, opened)
        return None if answer is None else await run.store(answer, relay)

    def sources_of(self, protocol: str) -> SourceSet:
        """The protocol's sources. Raises `UpstreamUnavailable` before they were ever read."""
        found = self._sources.current(protocol)
        if found is None:
            raise UpstreamUnavailable("the upstream sources are not loaded yet", retry_after_seconds=1)
        return found
