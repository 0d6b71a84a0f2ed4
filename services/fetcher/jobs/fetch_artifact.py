"""Job `fetch_artifact`: find out where a file lies, and have it downloaded from there."""

from __future__ import annotations

import asyncio

from services.fetcher.abandoned import Abandoned
from services.fetcher.absences import Absences
from services.fetcher.artifact_run import ArtifactRun, ArtifactTools, tell_done
from services.fetcher.entries import Entries, Found, Refresh
from services.fetcher.kept_addresses import at_kept_address
from services.fetcher.metadata_fallback import parent_of
from shared.artifacts import UrlName
from shared.batches import BatchWriter
from shared.clients.queue_context import JobContext
from shared.errors import (
    DigestMismatch,
    FileNotFound,
    LastingError,
    PassingError,
)
from shared.jobs import FetchArtifact
from shared.logs import get_logger
from shared.metrics import UPSTREAM_MUTATED
from shared.models import ArtifactFacts
from shared.protocols import protocol_named
from shared.protocols.base import PackageProxyBase, Resource

log = get_logger()


class FetchArtifactJob:
    """Handler of `FetchArtifact`."""

    def __init__(
        self,
        *,
        tools: ArtifactTools,
        entries: Entries,
        refresh: Refresh,
        lookups: BatchWriter[UrlName, ArtifactFacts | None],
        absences: Absences,
    ) -> None:
        self._absences = absences
        self._tools = tools
        self._entries = entries
        self._refresh = refresh
        self._lookup = lookups.add  # jobs of a burst share statements

    async def __call__(self, ctx: JobContext, job: FetchArtifact) -> None:
        """Raises `FileNotFound`, `DigestMismatch` or why the file cannot be had now."""
        resource = protocol_named(job.protocol).artifact_resource(job.project, job.file_id, job.filename)
        try:
            async with self._absences.of_file(resource, ctx.generation):
                await self._fetch(ctx, job, relay=True)
        except Abandoned:  # nobody is there to be told; whoever comes now finds no job, and starts one
            log.info("download_abandoned", project=job.project, filename=job.filename)

    async def _fetch(self, ctx: JobContext, job: FetchArtifact, *, relay: bool) -> ArtifactFacts:
        """The facts of the file, stored now if it was not before. `relay`: it is the job's own file."""
        protocol = protocol_named(job.protocol)
        resource = protocol.artifact_resource(job.project, job.file_id, job.filename)
        blocks = self._tools.access.blocks
        if blocks.any:
            blocks.check(job.protocol, job.project, protocol.version_asked(resource))
        row, found = await asyncio.gather(
            self._lookup((job.protocol, job.project, job.file_id, job.filename)),
            self._known(protocol, resource),
        )
        if row is not None and await self._tools.sealer.is_intact(row):
            await self._tools.sealer.tell_cache(job.protocol, resource.identity, row)
            if relay:
                await tell_done(ctx, row)
            return row
        if row is not None:
            await self._tools.sealer.set_aside(job, row)
        promised = row.sha256 if row is not None else resource.sha256
        if resource.direct:
            run = ArtifactRun(self._tools, ctx, job, protocol, resource, promised, relay=relay)
            run.sealed_sha256 = row.sha256 if row is not None else ""
            return await self._from_first(run)
        if found is None:
            found = await self._entries.find_anew(
                protocol, job.project, job.file_id, job.filename, self._refresh
            )
        parent = parent_of(protocol, job.filename)
        if parent is not None:
            promised = row.sha256 if row is not None else ""  # the address holds its wheel's digest
        run = ArtifactRun(self._tools, ctx, job, protocol, resource, promised, relay=relay)
        run.sealed_sha256 = row.sha256 if row is not None else ""
        index_stands = True
        failure: PassingError | None = None

        async def download(found: Found) -> ArtifactFacts:
            try:
                return await run.download(found)
            except DigestMismatch as error:
                if parent is None:
                    await self._report_mismatch(run, found, error)
                raise

        try:
            return await at_kept_address(self._entries, self._refresh, protocol, resource, found, download)
        except (FileNotFound, LastingError):
            if parent is None:
                raise
            index_stands = False
        except PassingError as error:
            if parent is None:
                raise
            failure = error

        async def fetch_parent(wanted: FetchArtifact) -> ArtifactFacts:
            return await self._fetch(ctx, wanted, relay=False)

        try:
            return await run.from_parent(found, parent, fetch_parent, index_stands=index_stands)
        except DigestMismatch as mismatch:  # upstream's own may be right, once it comes
            raise failure or mismatch from None

    async def _known(self, protocol: PackageProxyBase, resource: Resource) -> Found | None:
        if resource.direct:
            return None
        return await self._entries.known(protocol, resource.project, resource.file_id, resource.filename)

    async def _from_first(self, run: ArtifactRun) -> ArtifactFacts:
        """A file that no index lists, from the first source that does not truly lack it."""

        async def download(found: Found) -> ArtifactFacts:
            try:
                return await run.download(found)
            except DigestMismatch as error:
                await self._report_mismatch(run, found, error)
                raise

        return await self._tools.direct.first(run.protocol, run.resource, run.generation, download)

    async def _report_mismatch(self, run: ArtifactRun, found: Found, error: DigestMismatch) -> None:
        job = run.job
        detail = {"source": found.source.name}
        if run.sealed_sha256:  # its object was evicted or lost, and upstream has other bytes by now
            UPSTREAM_MUTATED.labels(job.protocol).inc()
            kind, detail = "upstream_mutated", {**detail, "sealed_sha256": run.sealed_sha256}
        else:
            kind = "digest_mismatch"
        log.warning(kind, project=job.project, filename=job.filename, error=str(error))
        await self._tools.artifacts.record_event(kind, job.protocol, job.project, job.filename, detail)
