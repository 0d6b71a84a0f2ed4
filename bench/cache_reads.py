"""What one read costs at each level of the cache: wall time, and CPU time of the reading process.

    python -m bench.cache_reads [--seconds 2]

Starts a Redis of its own on loopback and stops it.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop

from services.gateway.hits.l1 import L1Cache
from services.standalone.redis_server import EmbeddedRedis
from shared.cache.keys import head_key, variant_key
from shared.cache.service import CacheService
from shared.models import FORMAT, IndexHead, VariantInfo
from shared.redis.client import RedisClient
from shared.settings import Settings

PAGES = 1000
BODY = b"x" * 22_000
JSON = "json.gzip"


async def fill(cache: CacheService) -> None:
    now = time.time()
    names = [f"{kind}.{coding}" for kind in ("json", "html") for coding in ("gzip", "identity")]
    variants = {name: VariantInfo('"0123456789abcdef"', len(BODY), "application/json") for name in names}
    for page in range(PAGES):
        head = IndexHead(FORMAT, 200, 10, 1, 1, now, now + 300, variants=variants)
        await cache.write_index("pypi", f"simple/p{page}", head, {JSON: BODY})
    await cache.raise_revision("pypi", 1)


def spin(name: str, seconds: float, call: Callable[[int], object]) -> None:
    """A synchronous read."""
    count, end = 0, time.perf_counter() + seconds
    started, cpu = time.perf_counter(), time.process_time()
    while time.perf_counter() < end:
        for _ in range(1000):
            call(count % PAGES)
            count += 1
    report(name, time.perf_counter() - started, time.process_time() - cpu, count)


async def drive(name: str, seconds: float, concurrent: int, call: Callable[[int], Awaitable[object]]) -> None:
    """`concurrent` tasks that read one after another."""
    numbers = itertools.count()
    end = time.perf_counter() + seconds

    async def one() -> int:
        done = 0
        while time.perf_counter() < end:
            await call(next(numbers) % PAGES)
            done += 1
        return done

    started, cpu = time.perf_counter(), time.process_time()
    count = sum(await asyncio.gather(*(one() for _ in range(concurrent))))
    report(name, time.perf_counter() - started, time.process_time() - cpu, count)


def report(name: str, wall: float, cpu: float, count: int) -> None:
    each = f"{wall / count * 1e6:8.2f} µs wall {cpu / count * 1e6:8.2f} µs CPU"
    print(f"{name:<58} {each} {count / wall:12,.0f}/s")


async def measure(server: EmbeddedRedis, seconds: float) -> None:
    redis = RedisClient(host="127.0.0.1", port=server.port, password=server.password, role="cache")
    l1 = L1Cache(redis, max_bytes=128 * 1024 * 1024)
    remote = CacheService.from_settings(redis, Settings())
    await fill(remote)
    await l1.open()
    local = CacheService.from_settings(redis, Settings(), reader=l1)
    names = [f"simple/p{page}" for page in range(PAGES)]
    bodies = [variant_key(head_key("pypi", name), JSON) for name in names]
    for name in names:
        await local.read_index("pypi", name, JSON)
    assert local.peek_index("pypi", names[0], JSON) is not None

    spin("L1 peek", seconds, lambda page: l1.peek(bodies[page]))
    spin(
        "L1 peek_index (revision, head, body)",
        seconds,
        lambda page: local.peek_index("pypi", names[page], JSON),
    )
    await drive(
        "L1 read_index (awaited)", seconds, 1, lambda page: local.read_index("pypi", names[page], JSON)
    )
    for concurrent in (1, 32, 256):
        await drive(
            f"read_index, batched MGET (3 keys, 22 kB), {concurrent} concurrent", seconds, concurrent,
            lambda page: remote.read_index("pypi", names[page], JSON),
        )  # fmt: skip
    for concurrent in (1, 32, 256):
        await drive(
            f"one body, batched MGET, {concurrent} concurrent", seconds, concurrent,
            lambda page: redis.get_many([bodies[page]]),
        )  # fmt: skip
    for concurrent in (1, 32):
        await drive(
            f"one body, plain pooled GET, {concurrent} concurrent", seconds, concurrent,
            lambda page: redis.raw.get(bodies[page]),
        )  # fmt: skip
    head = (await remote.read_index("pypi", names[0])).head
    assert head is not None
    await drive(
        "write_index, one 22 kB body",
        seconds,
        1,
        lambda page: remote.write_index("pypi", names[page], head, {JSON: BODY}),
    )
    await l1.aclose()
    await redis.aclose()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="length of each measurement")
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as folder, EmbeddedRedis(Path(folder), "cache") as server:
        uvloop.run(measure(server, seconds))


if __name__ == "__main__":
    main()
