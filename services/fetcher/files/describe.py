"""Job `describe_artifact`: the size of a file that is not stored yet, without downloading it."""

from __future__ import annotations

import asyncio
import contextlib
import re

import msgspec

from services.fetcher.files.ages import Ages
from services.fetcher.files.digests import check_magic, is_web_page
from services.fetcher.files.direct import DirectFiles
from services.fetcher.files.download import gone_or_strayed, source_headers_of
from services.fetcher.files.entries import Entries, Found, at_kept_address
from services.fetcher.http.response import UpstreamResponse
from services.fetcher.indexes.job import FetchIndexJob
from services.fetcher.sources.absences import Absences
from services.fetcher.sources.patience import silent
from services.fetcher.sources.upstreams import Upstreams
from shared.artifacts.repository import ArtifactRepository
from shared.errors import OrchardError, ProjectNotFound
from shared.errors.passing import UpstreamUnavailable
from shared.models import NO_SOURCE_HEADERS, NO_STANDING, IndexHead, SourceHeaders, Standing
from shared.protocols import protocol_named
from shared.queue.context import JobContext
from shared.queue.jobs import IN_USE, DateArtifact, DescribeArtifact, FetchIndex

FIRST_BYTES = 64  # enough to tell a web page from the file
_TOTAL = re.compile(r"bytes \d{1,18}-\d{1,18}/(\d{1,18})")


class Described(msgspec.Struct, frozen=True):
    """Where a file lies, its size (None: unknown), and the headers of its source that go out with it."""

    found: Found
    size_bytes: int | None
    source_headers: SourceHeaders = NO_SOURCE_HEADERS


class DescribeArtifactJob:
    """Handler of `DescribeArtifact`, and, where `ages` dates everything, of `DateArtifact`. It runs in the
    queue of indexes, so it fetches one inline."""

    def __init__(
        self,
        *,
        upstreams: Upstreams,
        entries: Entries,
        direct: DirectFiles,
        fetch_index: FetchIndexJob,
        artifacts: ArtifactRepository,
        absences: Absences,
        ages: Ages,
    ) -> None:
        self._ages = ages
        self._absences = absences
        self._upstreams = upstreams
        self._entries = entries
        self._direct = direct
        self._fetch_index = fetch_index
        self._artifacts = artifacts
        self._fetches: dict[tuple[str, str], asyncio.Task[IndexHead]] = {}  # those that run

    async def __call__(self, ctx: JobContext, job: DescribeArtifact | DateArtifact) -> None:
        """Raises `FileNotFound`, or the upstream's error."""

        async def refresh(protocol: str, identity: str) -> None:
            if isinstance(job, DateArtifact) and job.alone:
                return
            if (await self._index_of(protocol, identity, ctx.generation)).status == 404:
                raise ProjectNotFound(f"no upstream has {job.project}")

        protocol = protocol_named(job.protocol)
        resource = protocol.grammar.artifact_resource(job.file)
        facts = None
        if not job.unstored:
            facts = await self._artifacts.get_cached_url_with_artifact(job.file)
        if facts is not None:
            facts = await self._ages.of_stored(protocol, resource, facts, refresh)
            ctx.done(
                size_bytes=facts.size_bytes,
                content_type=facts.content_type,
                source_headers=SourceHeaders(facts.modified, facts.headers),
                sha256=facts.sha256,
                standing=Standing(facts.published, facts.judged),
            )
            return
        known = None if resource.direct else await self._entries.known(protocol, job.file)
        self._ages.check_new(protocol, resource, known)
        async with self._absences.of_file(resource, ctx.generation):
            standing = NO_STANDING
            if resource.direct:
                seen = await self._ages.seen(protocol, resource, refresh)
                described = await self._direct.first(protocol, resource, ctx.generation, self.ask)
                if seen is not None:
                    ageless = not described.found.source.options.aged
                    seen = msgspec.structs.replace(seen, ageless=ageless)
                modified = described.source_headers.modified
                if seen is not None:
                    published = self._ages.of_answer(protocol, resource, modified, seen)
                    standing = Standing(published, await self._ages.judged(protocol, resource))
                    self._ages.check(protocol, resource, standing)
            else:
                found = await self._entries.find(protocol, job.file, refresh)
                standing = await self._ages.admitted(protocol, resource, refresh, None, found)
                described = Described(found, found.entry.size_bytes)
                # Metadata that no upstream offers has no address: its size is known once it was read.
                unknown = described.size_bytes is None or protocol.upstream.kept_headers
                if unknown and found.entry.url:
                    described = await at_kept_address(
                        self._entries, refresh, protocol, resource, found, self.ask
                    )
        ctx.done(
            size_bytes=described.size_bytes,
            content_type=described.found.entry.content_type,
            source_headers=described.source_headers,
            standing=standing,
        )

    async def _index_of(self, protocol: str, identity: str, generation: int) -> IndexHead:
        """Fetch an index, once for all files that are asked for meanwhile. Raises the error of the fetch."""
        key = (protocol, identity)
        fetch = self._fetches.get(key)
        if fetch is None:
            job = FetchIndex(protocol, identity, variant=IN_USE)
            fetch = asyncio.create_task(self._fetch_index.run(job, generation))
            self._fetches[key] = fetch
            fetch.add_done_callback(lambda done: self._fetched(key, done))
        return await asyncio.shield(fetch)

    def _fetched(self, key: tuple[str, str], done: asyncio.Task[IndexHead]) -> None:
        self._fetches.pop(key, None)
        if not done.cancelled():
            done.exception()  # retrieved, even when everyone who waited has gone

    async def ask(self, found: Found) -> Described:
        """HEAD; where that is refused, has no length, is of a web page or takes half the time, a GET for the
        first bytes. Bounded in time as an index is, whose slot and connection it takes. Raises
        `UpstreamTimeout`, and
        `GoneUpstream` for a true 404.
        """
        seconds = self._upstreams.head_seconds(found.source)
        try:
            async with asyncio.timeout(seconds):
                # Some upstreams fail for HEAD alone: what GET says counts.
                with contextlib.suppress(OrchardError, TimeoutError):
                    async with asyncio.timeout(seconds / 2):
                        answered = await self._ask_head(found)
                    if answered is not None:
                        return answered
                return await self._ask_first_bytes(found)
        except TimeoutError:
            raise silent(found.source, seconds) from None

    async def _ask_head(self, found: Found) -> Described | None:
        async with self._upstreams.open_file(
            found.source, found.entry.url, method="HEAD", lane="index"
        ) as head:
            if head.status != 200 or head.content_length is None or _is_page(found, head):
                return None
            return _described(found, head.content_length, head)

    async def _ask_first_bytes(self, found: Found) -> Described:
        async with self._upstreams.open_file(
            found.source, found.entry.url, headers={"range": f"bytes=0-{FIRST_BYTES - 1}"}, lane="index"
        ) as response:
            if response.status in (200, 206) and _is_page(found, response):
                protocol, filename = protocol_named(found.source.protocol), found.entry.filename
                async for chunk in response.chunks():  # some servers call everything a page: the bytes count
                    check_magic(filename, protocol.archive.magics_of(filename), chunk)
                    break
            if response.status == 200 and response.content_length is not None:
                return _described(found, response.content_length, response)
            if response.status in (404, 410):
                raise gone_or_strayed(found.source, found.entry, response)
            total = _TOTAL.fullmatch(response.headers.get("content-range", "").strip())
            if response.status == 206 and total is not None:
                return _described(found, int(total[1]), response)
        raise UpstreamUnavailable(f"upstream {found.source.name} does not tell the size of the file")


def _described(found: Found, size_bytes: int, response: UpstreamResponse) -> Described:
    kept = protocol_named(found.source.protocol).upstream.kept_headers
    return Described(found, size_bytes, source_headers_of(response.headers, kept))


def _is_page(found: Found, response: UpstreamResponse) -> bool:
    """Whether the headers are of a web page where none was asked for: a login page, whose size is not the
    file's."""
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind in ("text/html", "application/xhtml+xml") and not is_web_page(found.entry.filename)
