"""Ways to read objects from an S3 server over plain HTTP: which client, at what cost.

    python -m bench.s3_gets

The server is nginx with files of 1 MB, so that it is not the limit. Printed: MB/s and CPU seconds per GB of
the reading process, as Orchard reads (by sockets; by aiohttp where the server has TLS) and by the SDK's
`get_object` in threads.
"""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import uvloop
from minio import Minio

from bench.harness import s3_servers
from bench.harness.s3_servers import ACCESS_KEY, BUCKET, SECRET_KEY
from shared.objects.port import artifact_key
from shared.objects.s3.config import S3Config
from shared.objects.s3.store import S3ObjectStore
from shared.process.threads import BoundedThreads

CONNECTIONS, READS, OBJECT_BYTES, ROUNDS = 16, 600, 1_000_000, 3


async def _rate(read: Callable[[], Awaitable[int]]) -> tuple[float, float]:
    """MB/s and CPU seconds per GB."""
    began, cpu, left = time.perf_counter(), time.process_time(), READS

    async def one() -> int:
        nonlocal left
        taken = 0
        while left > 0:
            left -= 1
            taken += await read()
        return taken

    total = sum(await asyncio.gather(*(one() for _ in range(CONNECTIONS))))
    return total / (time.perf_counter() - began) / 1e6, (time.process_time() - cpu) / (total / 1e9)


async def _measure(endpoint: str) -> None:
    config = S3Config(endpoint=endpoint, bucket=BUCKET, access_key=ACCESS_KEY, secret_key=SECRET_KEY)
    data = bytes(OBJECT_BYTES)
    key = artifact_key(hashlib.sha256(data).hexdigest())
    threads = BoundedThreads(8)
    store = S3ObjectStore(config, threads)
    await store.open()
    await store.put_bytes(key, data)
    by_aiohttp = S3ObjectStore(config, threads)
    await by_aiohttp.open()
    by_aiohttp._http._reads_plainly = False  # as of a server with TLS
    sdk = Minio(config.netloc, ACCESS_KEY, SECRET_KEY, secure=False, region=config.region)
    pool = ThreadPoolExecutor(CONNECTIONS)

    async def stream(store: S3ObjectStore = store) -> int:
        return sum([len(chunk) async for chunk in store.open_stream(key)])

    def blocking() -> int:
        response = sdk.get_object(BUCKET, config.name_of(key))
        try:
            return sum(len(chunk) for chunk in response.stream(256 * 1024))
        finally:
            response.close()
            response.release_conn()

    async def threaded() -> int:
        return await asyncio.get_running_loop().run_in_executor(pool, blocking)

    ways: dict[str, Callable[[], Awaitable[int]]] = {
        "sockets": stream,
        "aiohttp": partial(stream, by_aiohttp),
        "SDK in threads": threaded,
    }
    best: dict[str, tuple[float, float]] = {}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            rate, cost = await _rate(way)
            known = best.get(name, (0.0, float("inf")))
            best[name] = max(rate, known[0]), min(cost, known[1])
    for name, (rate, cost) in best.items():
        print(f"{name:<16} {rate:8,.0f} MB/s {cost:6.2f} CPU s/GB")
    pool.shutdown()
    await store.aclose()
    await by_aiohttp.aclose()
    await threads.aclose()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, s3_servers.stand_in(Path(folder)) as endpoint:
        uvloop.run(_measure(endpoint))


if __name__ == "__main__":
    main()
