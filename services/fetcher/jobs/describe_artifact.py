"""Job `describe_artifact`: the size of a file that is not stored yet, without downloading it."""

from __future__ import annotations

import asyncio
import contextlib
import re

from services.fetcher.absences import Absences
from services.fetcher.digests import check_magic, is_web_page
from services.fetcher.direct import DirectFiles
from services.fetcher.download import gone_or_strayed
from services.fetcher.entries import Entries, Found
from services.fetcher.jobs.fetch_index import FetchIndexJob
from services.fetcher.kept_addresses import at_kept_address
from services.fetcher.upstreams import Upstreams, silent
from shared.artifacts import ArtifactRepository
from shared.clients.http import UpstreamResponse
from shared.clients.queue_context import JobContext
from shared.errors import OrchardError, ProjectNotFound, UpstreamUnavailable
from shared.jobs import DescribeArtifact
from shared.models import IndexHead
from shared.protocols import protocol_named
from shared.protocols.base import PackageProxyBase, Resource

FIRST_BYTES = 64  # enough to tell a web page from the file
_TOTAL = re.compile(r"bytes \d{1,18}-\d{1,18}/(\d{1,18})")


class DescribeArtifactJob:
    """Handler of `DescribeArtifact`. It runs in the queue of indexes, so it fetches one inline."""

    def __init__(
        self,
        *,
        upstreams: Upstreams,
        entries: Entries,
        direct: DirectFiles,
        fetch_index: FetchIndexJob,
        artifacts: ArtifactRepository,
        absences: Absences,
    ) -> None:
        self._absences = absences
        self._upstreams = upstreams
        self._entries = entries
        self._direct = direct
        self._fetch_index = fetch_index
        self._artifacts = artifacts
        self._fetches: dict[tuple[str, str], asyncio.Task[IndexHead]] = {}  # those that run

    async def __call__(self, ctx: JobContext, job: DescribeArtifact) -> None:
        """Raises `FileNotFound`, or why the upstream does not say."""
        facts = await self._artifacts.get_cached_url_with_artifact(
            job.protocol, job.project, job.file_id, job.filename
        )
        if facts is not None:
            await ctx.publish(
                "done", size_bytes=facts.size_bytes, content_type=facts.content_type, sha256=facts.sha256
            )
            return

        async def refresh(protocol: str, identity: str) -> None:
            if (await self._index_of(protocol, identity, ctx.generation)).status == 404:
                raise ProjectNotFound(f"no upstream has {job.project}")

        protocol = protocol_named(job.protocol)
        resource = protocol.artifact_resource(job.project, job.file_id, job.filename)
        async with self._absences.of_file(resource, ctx.generation):
            if resource.direct:
                found, size = await self._first(protocol, resource, ctx.generation)
            else:
                found = await self._entries.find(protocol, job.project, job.file_id, job.filename, refresh)
                size = found.entry.size_bytes
                if size is None:
                    found, size = await at_kept_address(
                        self._entries, refresh, protocol, resource, found, self._described
                    )
        await ctx.publish("done", size_bytes=size, content_type=found.entry.content_type)

    async def _index_of(self, protocol: str, identity: str, generation: int) -> IndexHead:
        """Fetch an index, once for all files that are asked for meanwhile. Raises why it cannot be had."""
        key = (protocol, identity)
        fetch = self._fetches.get(key)
        if fetch is None:
            fetch = asyncio.create_task(self._fetch_index.run(protocol, identity, generation))
            self._fetches[key] = fetch
            fetch.add_done_callback(lambda done: self._fetched(key, done))
        return await asyncio.shield(fetch)

    def _fetched(self, key: tuple[str, str], done: asyncio.Task[IndexHead]) -> None:
        self._fetches.pop(key, None)
        if not done.cancelled():
            done.exception()  # seen, even when everyone who waited has gone

    async def _first(
        self, protocol: PackageProxyBase, resource: Resource, generation: int
    ) -> tuple[Found, int | None]:
        """The first source that does not truly lack a file that no index lists."""

        return await self._direct.first(protocol, resource, generation, self._described)

    async def _described(self, found: Found) -> tuple[Found, int | None]:
        return found, await self._ask(found)

    async def _ask(self, found: Found) -> int:
        """HEAD; where that is refused, tells nothing, speaks of a web page or takes half the time, a GET for
        the first bytes.

        Bounded as an index is: it has a slot and a connection of theirs. Raises `UpstreamTimeout`, and
        `GoneUpstream` for a true 404.
        """
        seconds = self._upstreams.head_seconds(found.source)
        try:
            async with asyncio.timeout(seconds):
                # Some upstreams fail for HEAD alone: what GET says counts.
                with contextlib.suppress(OrchardError, TimeoutError):
                    async with asyncio.timeout(seconds / 2):
                        told = await self._ask_head(found)
                    if told is not None:
                        return told
                return await self._ask_first_bytes(found)
        except TimeoutError:
            raise silent(found.source, seconds) from None

    async def _ask_head(self, found: Found) -> int | None:
        async with self._upstreams.open_file(
            found.source, found.entry.url, method="HEAD", lane="index"
        ) as head:
            return head.content_length if head.status == 200 and not _is_page(found, head) else None

    async def _ask_first_bytes(self, found: Found) -> int:
        async with self._upstreams.open_file(
            found.source, found.entry.url, headers={"range": f"bytes=0-{FIRST_BYTES - 1}"}, lane="index"
        ) as response:
            if response.status in (200, 206) and _is_page(found, response):
                async for chunk in response.chunks():  # some servers call everything a page: the bytes count
                    check_magic(found.entry.filename, chunk)
                    break
            if response.status == 200 and response.content_length is not None:
                return response.content_length
            if response.status in (404, 410):
                raise gone_or_strayed(found.source, found.entry, response)
            total = _TOTAL.fullmatch(response.headers.get("content-range", "").strip())
            if response.status == 206 and total is not None:
                return int(total[1])
        raise UpstreamUnavailable(f"upstream {found.source.name} does not tell the size of the file")


def _is_page(found: Found, response: UpstreamResponse) -> bool:
    """Whether a web page is told of where none was asked for: a login page, whose size is not the file's."""
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind in ("text/html", "application/xhtml+xml") and not is_web_page(found.entry.filename)
