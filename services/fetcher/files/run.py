"""One run of fetching a file: from its entry in an index to stored facts.

Order of writes: object under its hash → row → cache → event. The spool's readers end normally only
after that, so a complete transfer is always a correct and a kept one.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import itertools
from collections.abc import Awaitable, Callable, Mapping

import msgspec

from services.fetcher.files.abandoned import Audience, until_whole_is_wanted, while_wanted
from services.fetcher.files.ages import as_stored, list_again
from services.fetcher.files.digests import compared
from services.fetcher.files.direct import PublishedCheck
from services.fetcher.files.download import Download, source_headers_of
from services.fetcher.files.entries import Found
from services.fetcher.files.following import follow_file, publish_done
from services.fetcher.files.live import LiveDownload
from services.fetcher.files.sealing import check, public_url
from services.fetcher.files.signatures import SignatureCheck
from services.fetcher.files.spool import Spool, spool_upload
from services.fetcher.files.tools import ArtifactTools
from shared.digests import matches, strongest
from shared.errors import FileNotFound, TooYoung
from shared.errors.passing import SupersededError, UpstreamUnavailable
from shared.models import NO_SOURCE_HEADERS, NO_STANDING, CachedUrl, Role, SourceHeaders, StoredFile
from shared.objects.port import artifact_key
from shared.policy.age import Seen
from shared.protocols.base import PackageProxyBase
from shared.protocols.resource import Resource
from shared.queue.context import JobContext
from shared.queue.jobs import FetchArtifact
from shared.telemetry import metrics
from shared.telemetry.logs import get_logger

log = get_logger()

SMALL_BYTES = 256 * 1024
SMALL_DELAY_SECONDS = 0.025  # a small file is done before a reader could have connected
WHOLE_DELAY_SECONDS = 0.25  # all bytes are here, and soon sealed: a relay would only be more work

_numbers = itertools.count()

Fetch = Callable[[FetchArtifact], Awaitable[StoredFile]]
"""The facts of another file, fetched if it is not stored yet."""


class NotAhead(Exception):
    """Nobody has asked for the file yet, and to get it would take more than the file."""


class ArtifactRun:
    """One run of the job: from an entry to facts."""

    def __init__(
        self,
        tools: ArtifactTools,
        ctx: JobContext,
        job: FetchArtifact,
        protocol: PackageProxyBase,
        resource: Resource,
        promised_sha256: str,
        *,
        relay: bool,
    ) -> None:
        self.job = job
        self.protocol = protocol
        self._tools = tools
        self.ctx = ctx
        self.resource = resource
        self.generation = ctx.generation
        self._promised = promised_sha256
        self.is_to_be_signed = not promised_sha256  # whether its signature is looked at, if one is asked for
        self.row: StoredFile | None = None  # what stands under this name already; its object is gone
        self.standing = NO_STANDING  # nobody asks, or its headers will tell
        self.seen: Seen | None = None  # of the project of a file that no index lists, where its age counts
        self._relay = relay
        self._announcing: asyncio.Task[None] | None = None

    async def download(self, found: Found) -> StoredFile:
        """Download and seal. Raises what `Download.run` raises, `Abandoned`, `StoreUnavailable`,
        `DatabaseUnavailable`."""
        tools, job = self._tools, self.job
        if self.seen is not None:  # the list may be of another source
            self.seen = msgspec.structs.replace(self.seen, ageless=not found.source.options.aged)
        memory = tools.room if self._relay and job.abandonable and not job.guessed else None
        if memory is None:
            tools.floor.check()  # before the upstream is asked in vain
        elif (facts := tools.live.passed(job.id)) and not tools.floor.has_room(facts.size_bytes):
            tools.live.again(job.id, self.ctx.claim.token)
            publish_done(self.ctx, facts, passed=True)
            return facts
        name = f"{self.ctx.generation}-{next(_numbers)}"
        spool = Spool(tools.spool_folder / name, tools.threads)
        live = LiveDownload(
            job_id=job.id,
            generation=self.ctx.generation,
            token=self.ctx.claim.token,
            content_type=found.entry.content_type,
            spool=spool,
            source=found.source,
            entry=found.entry,
            audience=Audience(spool),
        )

        published = PublishedCheck(tools.direct, tools.artifacts, self.protocol, found)
        asked = self.is_to_be_signed
        signature = tools.signatures.of(self.protocol, self.resource, found) if asked else None

        def head_came(headers: Mapping[str, str]) -> None:
            published.head_came(headers)
            self._check_age(headers)

        declared = found.entry.hashes.get("sha256", "").lower()
        expected = self._promised or (declared if " " not in declared else "")
        try:
            is_judged = signature is None and self.seen is None
            if self._relay and job.part and self._promised and is_judged:
                await self._relay_parts(live)
            if signature is not None:
                await signature.start()
            published.start()
            async with spool_upload(tools.objects, spool, expected) as upload:
                download = Download(
                    tools.upstreams,
                    found.source,
                    found.entry,
                    spool,
                    promised_sha256=self._promised,
                    max_bytes=tools.max_bytes,
                    check_room=lambda wanted: spool.make_room(wanted, tools.floor, memory),
                    on_head=head_came,
                    # Whose signature nobody has verified yet, of that nobody has a byte.
                    on_trusted=lambda headers: self._let_in(live, headers) if signature is None else None,
                    kept_digests=self.protocol.upstream.kept_digests,
                    kept_headers=self.protocol.upstream.kept_headers,
                    magics=self.protocol.archive.magics_of(job.filename),
                )
                if self._relay and job.abandonable:
                    sha256 = await while_wanted(
                        download.run(), live.audience, tools.abandoned, self._is_needed
                    )
                else:
                    sha256 = await download.run()
                digests = download.kept_digests
                by = await published.verify(self.resource, {**digests, "sha256": sha256}, download.suspicion)
                checked = compared(found.entry.hashes, self._promised, by)
                await tools.refused.check_fetched(self.job.file, self.resource, sha256, found.source.name)
                await check(self.protocol, found.entry, spool.open, spool.size, tools.threads)
                if signature is not None:
                    await self._check_signature(signature, spool, sha256)
                await self._pin(found)
                if not spool.passing:
                    await upload.store(sha256)
            stored = self._stored(found, sha256, spool.size, digests, download.source_headers)
            if spool.passing:
                self._pass_on(live, stored)
                return stored
            facts = await self._seal(found, stored, checked=checked)
            if facts.sha256 == sha256:
                spool.seal()  # otherwise other bytes stand under this name: readers break off
            return facts
        except TooYoung:
            if self.seen is not None and self.standing.published:
                await tools.ages.note_refused(self.protocol, self.resource, self.standing.published)
                self.ctx.follow(list_again(self.protocol, job.project))
            raise
        finally:
            if self._announcing is not None:
                self._announcing.cancel()
            published.cancel()
            if signature is not None:
                signature.cancel()
            if not (spool.passing and spool.state == "sealed"):
                tools.live.end(live)
                spool.release()

    async def _relay_parts(self, live: LiveDownload) -> None:
        """Have parts of the file read, each by a request of its own, until somebody wants the whole. Raises
        `Abandoned` when nobody did."""
        size = live.entry.size_bytes or 0
        if size <= SMALL_BYTES:  # to fetch it whole costs no more
            return
        live.spool.total = size
        self._let_in(live, NO_SOURCE_HEADERS)
        await until_whole_is_wanted(live.audience, self._is_needed)
        live.spool.total = None  # so far only the index has told it

    async def refuse_guess(self) -> None:
        """Raises `NotAhead` for a guess that nobody has joined so far."""
        if self.job.guessed:
            job = await self._tools.queue.as_asked_now(self.job)
            if job is not None and job.guessed:
                raise NotAhead

    def _check_age(self, headers: Mapping[str, str]) -> None:
        """Of a file that no index lists, before anybody has a byte of it. Raises `Blocked` and its kinds."""
        if self.seen is None:
            return
        modified = source_headers_of(headers, ()).modified
        age = self._tools.ages.of_answer(self.protocol, self.resource, modified, self.seen)
        self.standing = as_stored(msgspec.structs.replace(self.standing, published=age), self.row)
        self._tools.ages.check(self.protocol, self.resource, self.standing)

    async def _is_needed(self) -> bool:
        job = await self._tools.queue.as_asked_now(self.job)
        return job is None or not job.abandonable

    async def _pin(self, found: Found) -> None:
        """The first file of a project pins it. Raises `SupersededError` if another source's file did so
        meanwhile: this one is not kept."""
        if not found.owner:
            return
        job = self.job
        standing = await self._tools.artifacts.pin_first(job.protocol, job.project, found.source.id)
        if standing and standing not in found.owner:
            raise SupersededError(f"{job.project} was pinned to another upstream meanwhile")

    async def _check_signature(self, signature: SignatureCheck, spool: Spool, sha256: str) -> None:
        """Raises `TrustDowngrade`: what is not signed as it should be is not kept."""
        try:
            with spool.open() as content:
                against = await signature.verify(content, spool.size, sha256)
        finally:
            if signature.changes_pages:
                self.ctx.follow(list_again(self.protocol, self.job.project))
        if against:
            self.standing = msgspec.structs.replace(self.standing, judged=against)

    async def from_parent(self, found: Found, parent: str, fetch: Fetch, *, index_stands: bool) -> StoredFile:
        """The metadata that upstream does not deliver, out of the file it describes, got by `fetch`.

        `index_stands` False: neither does what upstream has match what its index says of it. Then the
        file's own is sealed, and the page tells its digest from then on.
        """
        tools, job = self._tools, self.job

        async def fetch_parent(filename: str) -> StoredFile:
            wanted = msgspec.structs.replace(job, filename=filename, unstored=False)
            return await fetch(wanted)

        try:
            raw = await tools.fallback.read(
                self.protocol, found.entry, parent, fetch_parent, self._promised, index_stands=index_stands
            )
        except FileNotFound as error:  # advertised, so it must not be missing
            raise UpstreamUnavailable(error.message) from error
        log.info("metadata_from_parent", filename=job.filename)
        advertised = found.entry.hashes
        if not index_stands and advertised and not matches(advertised, raw):
            log.warning("metadata_differs", protocol=job.protocol, filename=job.filename)
            # Before the row: a run that finds that asks no more.
            await tools.artifacts.record_event(
                "metadata_differs", job.protocol, job.project, parent, {"advertised": advertised}
            )
        return await self._keep_metadata(found, raw, "metadata")

    async def early(self, found: Found) -> StoredFile | None:
        """The metadata out of the upstream's file, which is not downloaded; None where it must be: see
        `EarlyMetadata.read`, or what was read is not what is promised.

        Provisional, unless the index or a row tells its digest.
        """
        holder = found.entry.holder
        assert holder is not None
        blocks = self._tools.access.policy
        for sha256 in (self.job.file_id, *holder.hashes.get("sha256", "").lower().split()):
            blocks.check_digest(sha256)
        raw = await self._tools.early.read(
            self.protocol, self.job.project, msgspec.structs.replace(found, entry=holder)
        )
        promises = [found.entry.hashes] if strongest(found.entry.hashes) is not None else []
        promises += [{"sha256": self._promised}] if self._promised else []
        if raw is None or not all(matches(promise, raw) for promise in promises):
            return None
        return await self._keep_metadata(found, raw, "metadata" if promises else "provisional")

    async def _keep_metadata(self, found: Found, raw: bytes, role: Role) -> StoredFile:
        tools = self._tools
        await check(self.protocol, found.entry, lambda: io.BytesIO(raw), len(raw), tools.threads)
        sha256 = hashlib.sha256(raw).hexdigest()
        await tools.objects.put_bytes(artifact_key(sha256), raw)
        return await self._seal(found, self._stored(found, sha256, len(raw)), role)

    def _stored(
        self,
        found: Found,
        sha256: str,
        size_bytes: int,
        digests: dict[str, str] | None = None,
        source_headers: SourceHeaders = NO_SOURCE_HEADERS,
    ) -> StoredFile:
        """The facts of what came."""
        return StoredFile(
            sha256=sha256,
            size_bytes=size_bytes,
            content_type=found.entry.content_type,
            object_key=artifact_key(sha256),
            filename=self.job.filename,
            digests=digests or {},
            modified=source_headers.modified,
            headers=source_headers.headers,
            published=self.standing.published,
            judged=self.standing.judged,
        )

    def _pass_on(self, live: LiveDownload, facts: StoredFile) -> None:
        """Verified, and stored nowhere: whoever waits reads it here. No row, no facts in the cache."""
        live.standing = self.standing
        if self._announcing is None:
            self._tools.live.begin(live)
        else:
            self._announcing.cancel()  # no `live` after `done`
        live.spool.seal()
        self._tools.live.linger(live, facts)
        publish_done(self.ctx, facts, passed=True)
        metrics.FILES_PASSED.inc()
        log.warning("file_passed", filename=facts.filename, size_bytes=facts.size_bytes, sha256=facts.sha256)

    async def _seal(
        self,
        found: Found,
        stored: StoredFile,
        role: Role | None = None,
        checked: dict[str, str] | None = None,
    ) -> StoredFile:
        """Row → cache; the event and what follows are sent when the job ends. Raises `Blocked` for what
        is known against the file only since its row is there."""
        tools, job = self._tools, self.job
        if role is None:
            role = "file" if self.protocol.archive.parent_of(job.filename) is None else "metadata"
        facts = await tools.sealer.seal(
            CachedUrl(
                job.file,
                stored,
                generation=self.ctx.generation,
                source_id=found.source.id,
                upstream_url=public_url(found.entry.url or (found.entry.holder or found.entry).url),
                role=role,
                checked=checked or {},
            )
        )
        settled = await tools.ages.settled(self.protocol, self.resource, facts)
        if settled is not facts:
            tools.ages.check(self.protocol, self.resource, settled)
            facts = settled
        if self._relay:
            if self._announcing is not None:
                self._announcing.cancel()  # no `live` after `done`
            publish_done(self.ctx, facts)
            if not job.guessed:
                tools.came(job, facts, found.source.id)
        entry = None if self.resource.direct else found.entry
        follow_file(self.ctx, self.protocol, job, facts, entry)
        log.info("artifact_stored", filename=job.filename, size_bytes=facts.size_bytes, sha256=facts.sha256)
        return facts

    def _let_in(self, live: LiveDownload, source_headers: SourceHeaders) -> None:
        """Let readers in while the bytes come, and tell them."""
        live.source_headers, live.standing = source_headers, self.standing
        if self._relay:
            self._tools.live.begin(live)
            self._announcing = asyncio.create_task(self._announce(live))

    async def _announce(self, live: LiveDownload) -> None:
        total, passed = live.spool.total, live.spool.passing
        if not passed and total is not None and total <= SMALL_BYTES:
            await asyncio.sleep(SMALL_DELAY_SECONDS)
            if live.spool.size == total:
                await asyncio.sleep(WHOLE_DELAY_SECONDS)
        await self.ctx.publish(
            "live",
            size_bytes=total,
            content_type=live.content_type,
            standing=self.standing,
            passed=passed,
        )
