"""Downloads in progress, and GET /live/{job_id}: their bytes for gateways, while they arrive.

A response ends normally only after the artifact is sealed; otherwise the connection is aborted, so that no
reader can take a part for the whole. Readers need the address and the token in the job's claim.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import re
import time
from dataclasses import dataclass, field

import msgspec
from aiohttp import ClientConnectionResetError, web

from services.fetcher.files.abandoned import Audience
from services.fetcher.files.spool import Spool, SpoolBroken
from services.fetcher.http.response import codings_of
from services.fetcher.sources.upstreams import Upstreams
from shared.errors import OrchardError
from shared.models import (
    NO_SOURCE_HEADERS,
    NO_STANDING,
    FileEntry,
    SourceHeaders,
    Standing,
    StoredFile,
    UpstreamSource,
)
from shared.process.bounded import Bounded
from shared.telemetry.logs import get_logger

log = get_logger()

BEGIN_SECONDS = 4.0  # how long a reader waits for the upstream's response head; gateways allow five
LINGER_SECONDS = 3.0  # what is stored nowhere can be read as long as its job's end can be looked up
ENDED_SECONDS = 10.0  # for so long a reader who comes too late is answered at once
MAX_ENDED = 4096
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


@dataclass(eq=False)
class LiveDownload:
    """A download that can be read: registered when the upstream's response head has come."""

    job_id: str
    generation: int
    token: str
    content_type: str
    spool: Spool
    source: UpstreamSource
    entry: FileEntry
    audience: Audience
    source_headers: SourceHeaders = NO_SOURCE_HEADERS  # known once readers may come
    standing: Standing = NO_STANDING  # likewise
    variant: str = ""  # of an index: which of its bodies this is
    later_tokens: list[str] = field(default_factory=list)  # of further runs, which passed on the same

    def admits(self, token: str) -> bool:
        """Whether a reader has the token of a run's claim."""
        tokens = (self.token, *self.later_tokens)
        return any(hmac.compare_digest(token.encode(), each.encode()) for each in tokens)


@dataclass(eq=False)
class _Passed:
    facts: StoredFile
    times: int = 0  # that it was passed on within `LINGER_SECONDS`


class LiveDownloads:
    """All downloads of this process by job id, and the route that serves them."""

    def __init__(self, upstreams: Upstreams) -> None:
        self._upstreams = upstreams
        self._downloads: dict[str, LiveDownload] = {}
        self._expected: dict[str, list[asyncio.Future[None]]] = {}
        self._passed: dict[LiveDownload, _Passed] = {}
        self._ended = Bounded[str, float](MAX_ENDED)  # job id → monotonic time of its end

    @property
    def routes(self) -> list[web.RouteDef]:
        """For `WorkerHttp`."""
        return [web.get("/live/{job_id:.+}", self.handle, allow_head=False)]

    def begin(self, download: LiveDownload) -> None:
        """Register a download for readers; an earlier one of the same job is replaced."""
        self._downloads[download.job_id] = download
        download.audience.admit()
        self._ended.pop(download.job_id)
        for waiter in self._expected.pop(download.job_id, []):
            if not waiter.done():
                waiter.set_result(None)

    def end(self, download: LiveDownload) -> None:
        """Take no new readers; those that read go on by themselves."""
        if self._downloads.get(download.job_id) is download:
            del self._downloads[download.job_id]
            self._ended.put(download.job_id, time.monotonic())

    def linger(self, download: LiveDownload, facts: StoredFile) -> None:
        """Of a file that is passed on: take readers a little longer, then `end` it and release its spool."""
        self._passed.setdefault(download, _Passed(facts)).times += 1
        asyncio.get_running_loop().call_later(LINGER_SECONDS, self._over, download)

    def passed(self, job_id: str) -> StoredFile | None:
        """The facts of the same file, passed on just now."""
        download = self._downloads.get(job_id)
        passed = self._passed.get(download) if download is not None else None
        return passed.facts if passed is not None else None

    def again(self, job_id: str, token: str) -> None:
        """What was `passed` on is for readers of another run, with its token, too."""
        download = self._downloads[job_id]
        download.later_tokens.append(token)
        self.linger(download, self._passed[download].facts)

    def _over(self, download: LiveDownload) -> None:
        passed = self._passed[download]
        passed.times -= 1
        if not passed.times:
            del self._passed[download]
            self.end(download)
            download.spool.release()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """200 with the bytes from `?from=` on, or 206 for a `Range` not in the spool yet; 404 if there
        is no such download (any more), 403 for a wrong token."""
        job_id = request.match_info["job_id"]
        start_text = request.query.get("from", "0")
        if not (start_text.isascii() and start_text.isdigit() and len(start_text) < 19):
            return web.Response(status=400)
        download = await self._find(job_id)
        if download is None:
            return web.Response(status=404)
        token = request.headers.get("x-orchard-token", "")
        if not download.admits(token):
            return web.Response(status=403)
        try:
            with download.audience.reading():
                if "range" in request.headers:
                    response = await self._send_range(request, download)
                    if response is not None:
                        return response
                download.audience.wants_whole.set()
                return await self._send_all(request, download, int(start_text))
        except ClientConnectionResetError:  # the reader has gone, which is its right: nothing to log
            _abort(request)
            return web.Response(status=499)

    async def _find(self, job_id: str) -> LiveDownload | None:
        """The download, waited for a little: a claim is seen before the upstream has answered."""
        found = self._downloads.get(job_id)
        if found is not None:
            return found
        ended_at = self._ended.get(job_id)
        if ended_at is not None and time.monotonic() - ended_at < ENDED_SECONDS:
            return None  # it has ended here: its reader missed the event, and need not wait
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._expected.setdefault(job_id, []).append(waiter)
        try:
            await asyncio.wait([waiter], timeout=BEGIN_SECONDS)
        finally:  # the reader may have gone, too
            waiting = self._expected.get(job_id, [])
            if waiter in waiting:
                waiting.remove(waiter)
                if not waiting:
                    self._expected.pop(job_id, None)
        return self._downloads.get(job_id)

    async def _send_all(self, request: web.Request, download: LiveDownload, start: int) -> web.StreamResponse:
        spool = download.spool
        response = web.StreamResponse(headers=_headers(download))
        if spool.total is not None:
            response.headers["x-orchard-size"] = str(spool.total)
        response.enable_chunked_encoding()
        await response.prepare(request)
        try:
            async with contextlib.aclosing(spool.follow(start)) as chunks:
                async for chunk in chunks:
                    await response.write(chunk)
            await response.write_eof()
        except SpoolBroken:
            _abort(request)
        return response

    async def _send_range(self, request: web.Request, download: LiveDownload) -> web.StreamResponse | None:
        """206 from the spool, or by an upstream request of its own; None: the whole is to be sent."""
        spool = download.spool
        wanted = _parse(request.headers["range"], spool.total)
        if wanted is None:
            return None
        start, end = wanted
        if end <= spool.size:
            response = _partial(download, start, end, spool.total)
            await response.prepare(request)
            try:
                async with contextlib.aclosing(spool.follow(start, end)) as chunks:
                    async for chunk in chunks:
                        await response.write(chunk)
                await response.write_eof()
            except SpoolBroken:
                _abort(request)
            return response
        return await self._relay_range(request, download, start, end)

    async def _relay_range(
        self, request: web.Request, download: LiveDownload, start: int, end: int
    ) -> web.StreamResponse | None:
        headers = {"range": f"bytes={start}-{end - 1}"}
        response: web.StreamResponse | None = None
        try:
            async with self._upstreams.open_file(
                download.source, download.entry.url, headers=headers, lane="artifact"
            ) as upstream:
                announced = upstream.headers.get("content-range", "").replace(" ", "")
                right = f"bytes{start}-{end - 1}/{download.spool.total}"
                coded = codings_of(upstream.headers.get("content-encoding", ""))
                if upstream.status != 206 or announced != right or coded:
                    return None  # refused, or of something else: the whole is relayed instead
                response = _partial(download, start, end, download.spool.total)
                await response.prepare(request)
                left = end - start
                async for chunk in upstream.chunks():
                    left -= len(chunk)
                    if left < 0:
                        break
                    await response.write(chunk)
                if left != 0:
                    _abort(request)
                else:
                    await response.write_eof()
        except OrchardError as error:
            log.info("range_failed", job_id=download.job_id, error=error.code)
            if response is None:
                return None
            _abort(request)
        return response


def _headers(download: LiveDownload) -> dict[str, str]:
    return {
        "content-type": download.content_type,
        "x-orchard-generation": str(download.generation),
        "x-orchard-variant": download.variant,
        "x-orchard-source-headers": msgspec.json.encode(download.source_headers).decode("ascii"),
        # For who missed the event that tells it: what a rule lacks a fact of is given to nobody.
        "x-orchard-standing": json.dumps(msgspec.structs.astuple(download.standing)),
        "cache-control": "no-store",  # nothing of this has been verified yet
    }


def _partial(download: LiveDownload, start: int, end: int, total: int | None) -> web.StreamResponse:
    response = web.StreamResponse(status=206, headers=_headers(download))
    response.headers["content-range"] = f"bytes {start}-{end - 1}/{'*' if total is None else total}"
    response.content_length = end - start
    return response


def _parse(header: str, total: int | None) -> tuple[int, int] | None:
    """(start, end) of a single byte range that can be satisfied; None for anything else."""
    match = _RANGE.fullmatch(header.strip())
    if match is None or total is None:
        return None
    first, last = match[1], match[2]
    if first:
        start, end = int(first), min(int(last) + 1 if last else total, total)
    elif last:
        start, end = max(0, total - int(last)), total
    else:
        return None
    return (start, end) if start < end else None


def _abort(request: web.Request) -> None:
    """End the connection without a final chunk: the reader must see that something is missing."""
    if request.transport is not None:
        request.transport.abort()
