"""A worker's HTTP: health, metrics, extra routes, and a stop that nobody can hold up."""

from __future__ import annotations

import asyncio
import time

import aiohttp
import pytest
from aiohttp import web

from shared.errors import ConfigurationError
from shared.worker.http import WorkerHttp


async def fetch(http: WorkerHttp, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(f"http://{http.address}{path}") as response:
        return response.status, await response.text()


async def test_health_and_metrics__open__answer() -> None:
    http = WorkerHttp(host="127.0.0.1", port=0)
    await http.open()
    assert await fetch(http, "/health/live") == (200, "ok\n")
    assert await fetch(http, "/health/ready") == (200, "ok\n")
    status, body = await fetch(http, "/metrics")
    assert status == 200 and "orchard_build_info" in body
    assert (await fetch(http, "/else"))[0] == 404
    await http.aclose()


async def test_ready__not_yet__503_with_the_reason() -> None:
    reasons = ["queue Redis is away", ""]

    async def ready() -> str:
        return reasons[0]

    http = WorkerHttp(host="127.0.0.1", port=0, ready=ready)
    await http.open()
    assert await fetch(http, "/health/ready") == (503, "queue Redis is away\n")
    reasons.pop(0)
    assert (await fetch(http, "/health/ready"))[0] == 200
    http.start_draining()
    assert await fetch(http, "/health/ready") == (503, "draining\n")
    assert (await fetch(http, "/health/live"))[0] == 200
    await http.aclose()


async def test_extra_route__served_beside() -> None:
    async def hello(request: web.Request) -> web.Response:
        return web.Response(text=request.match_info["name"])

    http = WorkerHttp(host="127.0.0.1", port=0, routes=[web.get("/live/{name:.+}", hello)])
    await http.open()
    assert await fetch(http, "/live/a/b") == (200, "a/b")
    await http.aclose()


@pytest.mark.parametrize(
    ("advertise", "expected"),
    [
        ("fetcher-1.fetchers:9000", "fetcher-1.fetchers:9000"),
        ("fetcher-1", "fetcher-1:{port}"),
        ("[::1]", "[::1]:{port}"),
        ("fd00::12", "[fd00::12]:{port}"),  # a pod's address in an IPv6 cluster
        ("", "127.0.0.1:{port}"),
    ],
)
async def test_address__as_advertised__port_filled_in(advertise: str, expected: str) -> None:
    http = WorkerHttp(host="127.0.0.1", port=0, advertise=advertise)
    await http.open()
    port = http.port
    assert http.address == expected.format(port=port)
    await http.aclose()


async def test_open__port_taken__one_line_naming_the_variable() -> None:
    first = WorkerHttp(host="127.0.0.1", port=0)
    await first.open()
    second = WorkerHttp(host="127.0.0.1", port=first.port)
    with pytest.raises(ConfigurationError, match=r"^ORCHARD_WORKER_PORT: [^\n]+$"):
        await second.open()
    await second.aclose()
    await first.aclose()


async def test_aclose__slow_reader__broken_off_within_the_bound() -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x" * 65536)

    http = WorkerHttp(
        host="127.0.0.1", port=0, routes=[web.get("/live/x", endless)], stop_timeout_seconds=0.2
    )
    await http.open()
    host, _, port = http.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /live/x HTTP/1.1\r\nHost: x\r\n\r\n")
    await reader.readline()  # and never again: this client has stalled
    started = time.monotonic()
    await http.aclose()
    assert time.monotonic() - started < 5
    writer.close()


async def test_aclose__client_gone__handler_is_cancelled() -> None:
    ended = asyncio.Event()

    async def waiting(_: web.Request) -> web.Response:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()
        return web.Response()

    http = WorkerHttp(host="127.0.0.1", port=0, routes=[web.get("/live/x", waiting)])
    await http.open()
    host, _, port = http.address.rpartition(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /live/x HTTP/1.1\r\nHost: x\r\n\r\n")
    await asyncio.sleep(0.05)
    writer.close()
    async with asyncio.timeout(30):
        await ended.wait()
    await http.aclose()
