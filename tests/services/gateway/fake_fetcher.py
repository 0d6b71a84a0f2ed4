"""A fetcher whose every step a test decides: claims real jobs, serves real live bytes, writes real rows."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import web

from shared.queue.context import JobContext
from shared.queue.jobs import (
    ARTIFACT,
    INDEX,
    REFRESH,
    DescribeArtifact,
    FetchArtifact,
    FetchIndex,
    RenderIndex,
)
from shared.queue.worker import QueueWorker
from shared.redis.client import RedisClient
from shared.worker.http import WorkerHttp
from tests.services.gateway.conftest import Stores

IndexHandler = Callable[[JobContext, FetchIndex], Awaitable[None]]
ArtifactHandler = Callable[["FakeFetcher", JobContext, FetchArtifact], Awaitable[None]]


class Spool:
    """The growing bytes of one download."""

    def __init__(self, size: int | None) -> None:
        self.size = size
        self.data = bytearray()
        self.sealed = False
        self.broken = False
        self.grown = asyncio.Condition()

    async def add(self, piece: bytes) -> None:
        async with self.grown:
            self.data += piece
            self.grown.notify_all()

    async def end(self, *, broken: bool = False) -> None:
        async with self.grown:
            self.sealed, self.broken = not broken, broken
            self.grown.notify_all()


class Line:
    """A TCP forwarder that can be cut: what a process's death looks like to its server."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._writers: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server | None = None

    async def open(self) -> int:
        """The port to connect to."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def cut(self) -> None:
        """Close everything, and accept no more."""
        if self._server is not None:
            self._server.close()
        for writer in self._writers:
            writer.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward_reader, onward = await asyncio.open_connection(*self._target)
        self._writers += [writer, onward]
        await asyncio.gather(self._copy(reader, onward), self._copy(onward_reader, writer))

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()


class FakeFetcher:
    """Construct, set the handlers, `async with` it."""

    def __init__(self, stores: Stores, *, lease_seconds: float = 1.0) -> None:
        self.stores = stores
        self.index_handler: IndexHandler | None = None
        self.render_handler: Callable[[JobContext, RenderIndex], Awaitable[None]] | None = None
        self.artifact_handler: ArtifactHandler | None = None
        self.describe_handler: Callable[[JobContext, DescribeArtifact], Awaitable[None]] | None = None
        self.spools: dict[str, Spool] = {}
        self.index_jobs = 0
        self.artifact_jobs = 0
        self.live_requests: list[tuple[str, int, str]] = []
        self.serve_range: Callable[[str], tuple[bytes, str] | None] = lambda _value: None
        self.hide_live = False
        self._dead = False
        self.http = WorkerHttp(
            host="127.0.0.1",
            port=0,
            routes=[web.get("/live/{job_id}", self._live)],
            stop_timeout_seconds=0.1,
        )
        self._lease = lease_seconds
        self._line = Line(stores.settings.queue_redis_host, stores.settings.queue_redis_port)
        self._workers: list[QueueWorker] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> FakeFetcher:
        await self.http.open()
        self._redis = RedisClient(
            host="127.0.0.1",
            port=await self._line.open(),
            password=self.stores.settings.queue_redis_password,
            role="queue",
        )
        handlers = {
            INDEX: {FetchIndex: self._index, RenderIndex: self._render, DescribeArtifact: self._describe},
            REFRESH: {FetchIndex: self._index},
            ARTIFACT: {FetchArtifact: self._artifact},
        }
        for queue, by_kind in handlers.items():
            worker = QueueWorker(
                redis=self._redis,
                queue=queue,
                slots=16,
                handlers=by_kind,
                address=lambda: self.http.address,
                lease_seconds=self._lease,
            )
            self._workers.append(worker)
            self._tasks.append(asyncio.create_task(worker.run()))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._dead:
            for task in self._tasks:
                task.cancel()
        else:
            await asyncio.gather(*(worker.drain(0.1) for worker in self._workers))
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if not self._dead:
            await self.http.aclose()
        await self._redis.aclose()
        await self._line.cut()

    async def die(self) -> None:
        """Vanish as by SIGKILL: connections reset, leases neither renewed nor given back."""
        self._dead = True
        await self._line.cut()
        for spool in self.spools.values():
            await spool.end(broken=True)
        await self.http.aclose()

    # --- jobs -----------------------------------------------------------------------------------------

    async def _index(self, ctx: JobContext, job: FetchIndex) -> None:
        self.index_jobs += 1
        assert self.index_handler is not None
        await self.index_handler(ctx, job)

    async def _render(self, ctx: JobContext, job: RenderIndex) -> None:
        assert self.render_handler is not None
        await self.render_handler(ctx, job)

    async def _describe(self, ctx: JobContext, job: DescribeArtifact) -> None:
        assert self.describe_handler is not None
        await self.describe_handler(ctx, job)

    async def _artifact(self, ctx: JobContext, job: FetchArtifact) -> None:
        self.artifact_jobs += 1
        assert self.artifact_handler is not None
        await self.artifact_handler(self, ctx, job)

    def spool(self, ctx: JobContext, size: int | None) -> Spool:
        """The spool of a download that starts now."""
        spool = self.spools[ctx.job_id] = Spool(size)
        return spool

    async def seal(self, ctx: JobContext, job: FetchArtifact, data: bytes, *, tell: bool = True) -> None:
        """Store the file and tell so, in the order of a real fetcher."""
        facts = await self.stores.put_artifact(job.project, job.filename, data)
        spool = self.spools.get(ctx.job_id)
        if spool is not None:
            await spool.end()
        if tell:
            await ctx.publish(
                "done",
                size_bytes=len(data),
                sha256=hashlib.sha256(data).hexdigest(),
                value=msgspec.msgpack.encode(facts),
            )

    # --- live bytes -----------------------------------------------------------------------------------

    async def _live(self, request: web.Request) -> web.StreamResponse:
        job_id = request.match_info["job_id"]
        offset = int(request.query.get("from", "0"))
        wanted = request.headers.get("range", "")
        self.live_requests.append((job_id, offset, wanted))
        spool = self.spools.get(job_id)
        if spool is None or self.hide_live:
            return web.Response(status=404)
        partial = self.serve_range(wanted) if wanted else None
        if partial is not None:
            body, content_range = partial
            return web.Response(status=206, body=body, headers={"content-range": content_range})
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        if spool.size is not None:
            response.headers["x-orchard-size"] = str(spool.size)
        await response.prepare(request)
        while True:
            async with spool.grown:
                while len(spool.data) <= offset and not spool.sealed and not spool.broken:
                    await spool.grown.wait()
                piece = bytes(spool.data[offset : offset + 65536])
            if piece:
                await response.write(piece)
                offset += len(piece)
            elif spool.broken:
                assert request.transport is not None
                request.transport.abort()
                return response
            else:
                return response
