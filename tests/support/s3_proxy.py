"""A reverse proxy before an S3 server that fails as told: statuses, cut bodies, changed bytes.

Host and query pass unchanged, so signatures made for the proxy hold at the server.
"""

from __future__ import annotations

import asyncio
import io
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from queue import Queue
from threading import Thread

import aiohttp
import yarl
from aiohttp import web


@dataclass
class Fault:
    """What happens to the next `times` requests of `method` whose URL holds `containing`."""

    method: str
    containing: str = ""
    status: int = 0  # answer this instead of asking the server
    code: str = ""
    cut_after: int = -1  # break the connection off after so many bytes of the response's body
    date: str = ""  # with `status`: the Date of the answer
    spoil: bool = False  # change one byte of the request's body
    times: int = 1_000_000


class S3Proxy:
    """Where it listens, what it does wrong, what came by."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.endpoint = ""
        self.faults: list[Fault] = []
        self.seen: list[str] = []  # "METHOD path?query"

    def fault(self, fault: Fault) -> None:
        """From now on."""
        self.faults.append(fault)

    def count(self, method: str, containing: str = "") -> int:
        """Requests that came."""
        return sum(each.startswith(method + " ") and containing in each for each in self.seen)

    def _next_fault(self, method: str, url: str) -> Fault | None:
        for fault in self.faults:
            if fault.method == method and fault.containing in url and fault.times > 0:
                fault.times -= 1
                return fault
        return None

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        url = str(request.rel_url)
        self.seen.append(f"{request.method} {url}")
        fault = self._next_fault(request.method, url)
        body = await request.read()
        if fault is not None and fault.status:
            text = f"<?xml version='1.0'?><Error><Code>{fault.code}</Code></Error>"
            headers = {"Date": fault.date} if fault.date else {}
            return web.Response(
                status=fault.status, text=text, content_type="application/xml", headers=headers
            )
        if fault is not None and fault.spoil:
            body = bytes([body[0] ^ 1]) + body[1:]
        async with (
            aiohttp.ClientSession(auto_decompress=False) as session,
            session.request(
                request.method,
                yarl.URL(self.target + request.raw_path, encoded=True),
                headers=request.headers,
                data=io.BytesIO(body) if body else None,
                allow_redirects=False,
            ) as answer,
        ):
            headers = {
                n: v
                for n, v in answer.headers.items()
                if n.lower() not in ("transfer-encoding", "connection")
            }
            response = web.StreamResponse(status=answer.status, headers=headers)
            await response.prepare(request)
            content = await answer.read() if request.method != "HEAD" else b""
            if fault is not None and fault.cut_after >= 0:
                await response.write(content[: fault.cut_after])
                assert request.transport is not None
                request.transport.close()
                return response
            if content:
                await response.write(content)
            await response.write_eof()
            return response


@contextmanager
def running_s3_proxy(target: str) -> Iterator[S3Proxy]:
    """The same in a thread of its own, for tests that are not asynchronous."""
    ready: Queue[S3Proxy] = Queue()
    loop = asyncio.new_event_loop()
    ended = asyncio.Event()

    async def serve() -> None:
        async with s3_proxy(target) as proxy:
            ready.put(proxy)
            await ended.wait()

    thread = Thread(target=lambda: loop.run_until_complete(serve()), name="s3 proxy")
    thread.start()
    try:
        yield ready.get(timeout=10)
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(10)
        loop.close()


@asynccontextmanager
async def s3_proxy(target: str, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[S3Proxy]:
    """A proxy on loopback in front of `target` (an endpoint); with `tls` it speaks https."""
    proxy = S3Proxy(target)
    application = web.Application(client_max_size=1 << 30)
    application.router.add_route("*", "/{path:.*}", proxy._handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    port = runner.addresses[0][1]
    proxy.endpoint = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
    try:
        yield proxy
    finally:
        await runner.cleanup()
