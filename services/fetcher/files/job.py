"""Job `fetch_artifact`: find a file's address, and download it from there."""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial

import msgspec

from services.fetcher.files.abandoned import Abandoned
from services.fetcher.files.ages import as_stored, list_again
from services.fetcher.files.entries import Entries, Found, Refresh, at_kept_address
from services.fetcher.files.following import follow_file, publish_done
from services.fetcher.files.run import ArtifactRun
from services.fetcher.files.stored import stored_path
from services.fetcher.files.tools import ArtifactTools
from services.fetcher.sources.absences import Absences
from services.fetcher.sources.mutations import report_mutation
from shared.errors import DigestMismatch, FileNotFound, LastingError, TooYoung
from shared.errors.passing import CacheUnavailable, PassingError
from shared.models import FileName, Standing, StoredFile
from shared.postgres.batches import BatchWriter
from shared.protocols import protocol_named
from shared.protocols.base import PackageProxyBase
from shared.protocols.resource import Resource
from shared.queue.context import JobContext
from shared.queue.jobs import FetchArtifact
from shared.telemetry.logs import get_logger

log = get_logger()


class FetchArtifactJob:
    """Handler of `FetchArtifact`."""

    def __init__(
        self,
        *,
        tools: ArtifactTools,
        entries: Entries,
        refresh: Refresh,
        lookups: BatchWriter[FileName, StoredFile | None],
        absences: Absences,
    ) -> None:
        self._absences = absences
        self._tools = tools
        self._entries = entries
        self._refresh = refresh
        self._lookup = lookups.add  # jobs of a burst share statements

    async def __call__(self, ctx: JobContext, job: FetchArtifact) -> None:
        """Raises `FileNotFound`, `DigestMismatch` or the passing error of an upstream or a store."""
        resource = protocol_named(job.protocol).grammar.artifact_resource(job.file)
        try:
            async with self._absences.of_file(resource, ctx.generation):
                await self._fetch(ctx, job, relay=True)
        except Abandoned:  # no waiter is left; whoever comes now finds no job, and starts one
            log.info("download_abandoned", project=job.project, filename=job.filename)

    async def _fetch(self, ctx: JobContext, job: FetchArtifact, *, relay: bool) -> StoredFile:
        """The facts of the file, stored now if it was not before. `relay`: it is the job's own file."""
        protocol = protocol_named(job.protocol)
        resource = protocol.grammar.artifact_resource(job.file)
        policy = self._tools.access.policy
        version = protocol.grammar.version_asked(resource)
        if policy.any:
            policy.check_address(job.protocol, job.project, version, resource.sha256)
        parent = protocol.archive.parent_of(job.filename)
        row, found, is_stored = await asyncio.gather(
            self._standing(ctx, job, resource),
            self._known(protocol, resource),
            self._is_stored(job, parent),
        )
        if row is not None and await self._tools.sealer.is_intact(row):
            await self._signed(ctx, protocol, resource, row)
            row = await self._dated(ctx, protocol, resource, row)
            kept = await self._tools.sealer.cache.write_facts(job.file, row)
            if not kept and not await self._still_stands(job.file, row):
                return await self._fetch(ctx, job, relay=relay)
            if relay:
                publish_done(ctx, row)
            follow_file(ctx, protocol, job, row, found.entry if found is not None else None)
            return row
        if row is not None:
            await self._tools.sealer.set_aside(job, row)
            if row.provisional:
                await self._tools.sealer.drop_provisional(job.file)
                row = None
        if row is None:
            self._tools.ages.check_new(protocol, resource, found)
            await self._tools.refused.check(job.file)
        else:
            policy.check(job.protocol, job.project, version, row.sha256, beside=resource.file_id)
        promised = row.sha256 if row is not None else resource.sha256
        if resource.direct:
            run = ArtifactRun(self._tools, ctx, job, protocol, resource, promised, relay=relay)
            run.row = row
            run.seen = await self._tools.ages.seen(protocol, resource, self._refresh)
            if row is not None and await self._tools.signatures.is_due(protocol, resource, row):
                run.is_to_be_signed = True
            known = None if run.is_to_be_signed else row
            judged = await self._tools.ages.judged(protocol, resource, known)
            run.standing = as_stored(Standing(judged=judged), row)
            return await self._from_first(run)
        if found is None:
            found = await self._entries.find_anew(protocol, job.file, self._refresh)
        if parent is not None:  # the address holds its wheel's digest
            promised = row.sha256 if row is not None else ""
        run = ArtifactRun(self._tools, ctx, job, protocol, resource, promised, relay=relay)
        run.row = row
        if parent is not None:
            run.standing = await self._tools.ages.admitted(protocol, resource, self._refresh, row, found)
            return await self._metadata(run, found, parent, is_stored=is_stored)

        async def download(found: Found) -> StoredFile:
            run.standing = await self._tools.ages.admitted(protocol, resource, self._refresh, row, found)
            try:
                return await run.download(found)
            except DigestMismatch as error:
                await self._report_mismatch(run, found, error)
                raise

        return await at_kept_address(self._entries, self._refresh, protocol, resource, found, download)

    async def _metadata(self, run: ArtifactRun, found: Found, parent: str, *, is_stored: bool) -> StoredFile:
        """The upstream's own file, where it offers one; else out of the wheel: by ranges of the upstream's,
        or out of the stored one, which is downloaded first if it must."""
        at_kept = partial(at_kept_address, self._entries, self._refresh, run.protocol, run.resource, found)
        index_stands = True
        failure: PassingError | None = None
        if found.entry.url:
            try:
                return await at_kept(run.download)
            except (FileNotFound, LastingError):
                index_stands = False
            except PassingError as error:
                failure = error
        if not is_stored and found.entry.holder is not None:
            with contextlib.suppress(FileNotFound):  # of the wheel: asked for as a whole, it says why
                facts = await at_kept(run.early)
                if facts is not None:
                    return facts

        if not is_stored:
            await run.refuse_guess()

        async def fetch_parent(wanted: FetchArtifact) -> StoredFile:
            return await self._fetch(run.ctx, wanted, relay=False)

        try:
            return await run.from_parent(found, parent, fetch_parent, index_stands=index_stands)
        except DigestMismatch as mismatch:  # the upstream's own file may be right, once it can be fetched
            raise failure or mismatch from None

    async def _standing(self, ctx: JobContext, job: FetchArtifact, resource: Resource) -> StoredFile | None:
        """What is stored under the name. Where whoever asked has just seen no row, the cache knows of those
        that came since."""
        if job.unstored and ctx.try_number == 1:
            return await self._cached(job.file)
        return await self._lookup(job.file)

    async def _dated(
        self, ctx: JobContext, protocol: PackageProxyBase, resource: Resource, row: StoredFile
    ) -> StoredFile:
        """The facts with their date. Raises `TooYoung`; of a file that no index lists, pages are without its
        version then."""
        try:
            return await self._tools.ages.of_stored(protocol, resource, row, self._refresh)
        except TooYoung:
            if resource.direct:
                ctx.follow(list_again(protocol, resource.project))
            raise

    async def _signed(
        self, ctx: JobContext, protocol: PackageProxyBase, resource: Resource, row: StoredFile
    ) -> None:
        """Has the signature of a stored file verified at which nobody has looked. Raises `TrustDowngrade`, or
        why it cannot be had."""
        tools = self._tools
        if not await tools.signatures.is_due(protocol, resource, row):
            return

        async def look(found: Found) -> None:
            check = tools.signatures.of(protocol, resource, found)
            if check is None:
                return
            try:
                await check.start()
                async with stored_path(tools.objects, tools.spool_folder, row) as path:
                    with path.open("rb") as content:
                        await check.verify(content, row.size_bytes, row.sha256)
            finally:
                check.cancel()
                if check.changes_pages:
                    ctx.follow(list_again(protocol, resource.project))

        await tools.direct.first(protocol, resource, ctx.generation, look)

    async def _still_stands(self, file: FileName, row: StoredFile) -> bool:
        """Whether a row was not taken away while its object was hashed."""
        standing = await self._lookup(file)
        return standing is not None and standing.created_at == row.created_at

    async def _is_stored(self, job: FetchArtifact, parent: str | None) -> bool:
        """Whether the file that metadata belongs to is known to be stored."""
        return (
            parent is not None
            and await self._cached(msgspec.structs.replace(job.file, filename=parent)) is not None
        )

    async def _cached(self, file: FileName) -> StoredFile | None:
        """What the cache knows; nothing while it does not answer."""
        try:
            return await self._tools.sealer.cache.read_facts(file)
        except CacheUnavailable:
            return None

    async def _known(self, protocol: PackageProxyBase, resource: Resource) -> Found | None:
        if resource.direct:
            return None
        return await self._entries.known(protocol, resource.file)

    async def _from_first(self, run: ArtifactRun) -> StoredFile:
        """A file that no index lists, from the first source that does not truly lack it."""

        async def download(found: Found) -> StoredFile:
            try:
                return await run.download(found)
            except DigestMismatch as error:
                await self._report_mismatch(run, found, error)
                raise

        return await self._tools.direct.first(run.protocol, run.resource, run.generation, download)

    async def _report_mismatch(self, run: ArtifactRun, found: Found, error: DigestMismatch) -> None:
        job = run.job
        artifacts, about = self._tools.artifacts, (job.protocol, job.project, job.filename)
        detail = {"source": found.source.name}
        if run.row is not None:  # its object was evicted or lost, and upstream has other bytes by now
            await report_mutation(artifacts, *about, sealed_sha256=run.row.sha256, **detail)
            return
        log.warning("digest_mismatch", project=job.project, filename=job.filename, error=str(error))
        await artifacts.record_event("digest_mismatch", *about, {**detail, "because": error.message})
