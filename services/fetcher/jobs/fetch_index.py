"""Job `fetch_index`: ask upstream for an index, keep the document, finish its bodies."""

from __future__ import annotations

import asyncio

from services.fetcher.index_run import IndexRun
from services.fetcher.index_writing import IndexTools
from services.fetcher.merged_index import MergedIndex
from services.fetcher.shadows import Shadows
from services.fetcher.upstreams import Upstreams
from shared.clients.queue_context import JobContext
from shared.errors import LastingError, PassingError, UpstreamStrayed, UpstreamUnavailable
from shared.jobs import FetchIndex
from shared.logs import get_logger
from shared.models import IndexHead, SealedFile
from shared.protocols import protocol_named
from shared.protocols.base import PackageProxyBase
from shared.source_policy import Owner, owners, why_absent, why_none
from shared.source_watcher import SourceWatcher
from shared.sources import SourceSet

log = get_logger()


class FetchIndexJob:
    """Handler of `FetchIndex`; jobs of other kinds call `run` inline."""

    def __init__(
        self, *, upstreams: Upstreams, sources: SourceWatcher, tools: IndexTools, shadows: Shadows
    ) -> None:
        self._upstreams = upstreams
        self._sources = sources
        self._tools = tools
        self._shadows = shadows

    async def __call__(self, ctx: JobContext, job: FetchIndex) -> None:
        """Raises the upstream's error only when there is no good document to fall back to."""
        protocol = protocol_named(job.protocol)
        look = await self._shadows.due(protocol, job.identity, self.sources_of(job.protocol).sources)
        head = await self.run(job.protocol, job.identity, ctx.generation, base_url=job.base_url)
        await ctx.publish("done")
        if look is not None and head.status == 200:
            await self._shadows.look(look)

    async def run(
        self, protocol_name: str, identity: str, generation: int, *, base_url: str = ""
    ) -> IndexHead:
        """The head that was written: status 200 (perhaps failing) or 404."""
        protocol = protocol_named(protocol_name)
        project = protocol.project_of(identity)
        sources = self.sources_of(protocol_name)
        blocks = self._tools.access.blocks
        if blocks.of(protocol_name, project).whole:
            blocks.check(protocol_name, project)
        good, (pinned, sealed) = await asyncio.gather(
            self._tools.documents.last_good(protocol_name, identity),
            self._of_project(protocol, project),
        )
        asked = owners(sources.sources, project, pinned)
        run = IndexRun(
            self._tools, protocol, identity, project, generation, sources, asked, good, sealed, base_url
        )
        if not asked:
            reason = why_none(sources.sources, project, pinned)
            log.warning("no_source_may_be_asked", protocol=protocol_name, identity=identity, reason=reason)
            return await run.not_found(reason)
        if self._upstreams.offline:
            return await run.restore_offline()
        merged = MergedIndex(self._upstreams, self._tools, protocol, identity, project, generation)
        try:
            for owner in asked:
                if protocol.merges(identity) and len(owner) > 1:
                    head = await merged.fetch(run, owner)
                else:
                    head = await self._of_owner(run, protocol, identity, owner)
                if head is not None:
                    return head
                if len(asked) > 1 and await self._upstreams.lists(protocol, identity, owner):
                    pinned = frozenset(source.id for source in owner)  # as good as: it has the project
                    break
        except UpstreamStrayed as error:
            await self._tools.artifacts.record_event(
                error.code, protocol_name, project, "", {"because": error.message}
            )
            return await run.fail(error)
        except (PassingError, LastingError) as error:
            return await run.fail(error)
        return await run.not_found(why_absent(sources.sources, project, pinned, protocol.noun_of(identity)))

    async def _of_owner(
        self, run: IndexRun, protocol: PackageProxyBase, identity: str, owner: Owner
    ) -> IndexHead | None:
        """The head made of the first answer that is not a 404; None if all of them truly lack it."""
        answer = await self._upstreams.ask_index(protocol, identity, owner, run.validators())
        if answer is not None and answer.not_modified:
            head = await run.not_modified(answer)
            if head is not None:
                return head
            # A 304 for a document that is lost: ask again without conditions.
            answer = await self._upstreams.ask_index(protocol, identity, owner)
        return None if answer is None else await run.store(answer)

    def sources_of(self, protocol: str) -> SourceSet:
        """The protocol's sources. Raises `UpstreamUnavailable` before they were ever read."""
        found = self._sources.current(protocol)
        if found is None:
            raise UpstreamUnavailable("the upstream sources are not loaded yet", retry_after_seconds=1)
        return found

    async def _of_project(
        self, protocol: PackageProxyBase, project: str
    ) -> tuple[frozenset[int], list[SealedFile]]:
        if not project:
            return frozenset(), []
        artifacts = self._tools.artifacts
        pinned, sealed = await asyncio.gather(
            artifacts.pinned(protocol.name, protocol.pin_names(project)),
            artifacts.sealed_files(protocol.name, project),
        )
        return pinned, sealed
