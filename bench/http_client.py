"""How many small files a second `HttpClientManager` alone gets from a fast upstream on loopback.

`python -m bench.http_client [--seconds 10] [--concurrency 64 256]`: the upstream is a process of its
own. Bar: 1,000 requests a second. Exits 1 below it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import multiprocessing
import sys
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import cast

import uvloop

from services.fetcher.http.manager import HttpClientManager
from shared.models import UpstreamSource

BAR = 1_000
BODY_BYTES = 10_000


class _Answer(asyncio.Protocol):
    """Answers whatever comes: the fastest upstream that Python makes."""

    response = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % BODY_BYTES + bytes(BODY_BYTES)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.write = cast(asyncio.Transport, transport).write

    def data_received(self, data: bytes) -> None:
        self.write(self.response * data.count(b"\r\n\r\n"))


def _upstream(ready: Connection) -> None:
    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(_Answer, "127.0.0.1", 0, backlog=1024)
        ready.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    uvloop.run(serve())


async def _measure(port: int, seconds: float, concurrency: int) -> tuple[float, float, int]:
    url = f"http://127.0.0.1:{port}/file"
    source = UpstreamSource(1, "pypi", "bench", f"http://127.0.0.1:{port}/")
    latencies: list[float] = []
    async with HttpClientManager(max_connections=100) as manager:
        end = time.perf_counter() + seconds

        async def worker() -> None:
            while (started := time.perf_counter()) < end:
                async with manager.stream(source, url) as response:
                    size = sum([len(chunk) async for chunk in response.chunks()])
                assert size == BODY_BYTES
                latencies.append(time.perf_counter() - started)

        begun = time.perf_counter()
        await asyncio.gather(*(worker() for _ in range(concurrency)))
        elapsed = time.perf_counter() - begun
        connects = manager.stats().connects
    latencies.sort()
    return len(latencies) / elapsed, latencies[int(len(latencies) * 0.99)] * 1000, connects


@contextlib.contextmanager
def _running_upstream() -> Iterator[int]:
    """The port of an upstream in a process of its own."""
    receiver, sender = multiprocessing.Pipe()
    upstream = multiprocessing.get_context("spawn").Process(target=_upstream, args=(sender,), daemon=True)
    upstream.start()
    try:
        yield receiver.recv()
    finally:
        upstream.terminate()
        upstream.join()


def measure(seconds: float, concurrency: int) -> tuple[float, float, int]:
    """Requests a second, p99 in ms, connections made: for `make bench`."""
    with _running_upstream() as port:
        return uvloop.run(_measure(port, seconds, concurrency))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 64, 256])
    arguments = parser.parse_args()
    print(f"{'concurrency':>11} {'requests/s':>11} {'p99 ms':>8} {'connections':>12}")
    with _running_upstream() as port:
        for concurrency in arguments.concurrency:
            rate, p99, connects = uvloop.run(_measure(port, arguments.seconds, concurrency))
            print(f"{concurrency:>11} {rate:>11.0f} {p99:>8.1f} {connects:>12}")
            if concurrency > 1 and rate < BAR:
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
