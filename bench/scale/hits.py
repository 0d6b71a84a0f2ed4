"""Hits of an Orchard over the large installation beside one over a small one: same pages, in turn."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp

from bench.harness import load
from bench.harness.load import Measurement
from bench.harness.orchard import Orchard, orchard
from bench.harness.table import Figure, print_rows
from bench.scale.jobs import GATEWAYS
from bench.scale.rows import package
from bench.scale.stores import Installation
from services.gateway.hits.tracking import InvalidationStream
from shared.cache.keys import PREFIX
from shared.redis.client import RedisClient

PAGES = 1000
MOST_RATIO = 1.2
MOST_L1_MIB = 128  # ORCHARD_L1_MAX_BYTES; MOST_OVER_MIB: of what else a gateway keeps
MOST_OVER_MIB = 128
WIDE = 100_000  # pages, each asked for once
SECONDS, REPEATS = 2.0, 7
JSON = {"Accept": "application/vnd.pypi.simple.v1+json", "Accept-Encoding": "gzip"}


def measure(work: Path, large: Installation, small: Installation) -> list[Figure]:
    """Bars of p99 and of memory."""
    figures = []
    for what, l1 in (("from memory", MOST_L1_MIB * 2**20), ("from Redis", 0)):
        with (
            _orchard(work / f"large-{l1}", large, l1) as ours,
            _orchard(work / f"small-{l1}", small, l1) as other,
        ):
            figures += asyncio.run(_followed(large, partial(_ratio, work, what, ours, other)))
            if l1:
                figures += _memory(large, ours, other)
    return figures


@contextlib.contextmanager
def _orchard(work: Path, stores: Installation, l1: int) -> Iterator[Orchard]:
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    settings: dict[str, Any] = {
        name.removeprefix("ORCHARD_").lower(): value for name, value in stores.settings().items()
    }
    data = Path(settings.pop("data_dir"))
    upstreams: dict[str, Any] = {
        f"{each}_upstream": "http://127.0.0.1:9/" for each in ("npm", "maven", "cargo")
    }
    with orchard(
        data,
        upstream="http://127.0.0.1:9/simple/",
        l1_max_bytes=l1,
        access_log="false",
        **settings,
        **upstreams,
    ) as ours:
        yield ours


async def _followed(large: Installation, run: Callable[[], list[Figure]]) -> list[Figure]:
    """Beside the gateways of a large installation: as many connections that follow the same cache."""
    async with large.stores() as stores, contextlib.AsyncExitStack() as open_streams:
        for _ in range(GATEWAYS - 1):
            await open_streams.enter_async_context(_stream(stores.cache_redis))
        return await asyncio.to_thread(run)


@contextlib.asynccontextmanager
async def _stream(redis: RedisClient) -> AsyncIterator[None]:
    stream = InvalidationStream(
        redis, prefix=PREFIX, on_change=lambda _: None, on_flush=lambda: None, on_connected=lambda _: None
    )  # fmt: skip
    await stream.open()
    try:
        yield
    finally:
        await stream.aclose()


def _ratio(work: Path, what: str, ours: Orchard, other: Orchard) -> list[Figure]:
    script = work / "pages.lua"
    script.write_text(
        f"local n = 0\nrequest = function()\n  n = (n + 7) % {PAGES}\n"
        '  return wrk.format("GET", string.format("/pypi/simple/package-%07d/", n * 2))\nend\n'
    )
    runs = {
        name: partial(load.wrk, each.url(""), connections=16, seconds=SECONDS, headers=JSON, script=script)
        for name, each in (("large", ours), ("small", other))
    }
    for run in runs.values():
        run()
    found = load.interleaved(runs, repeats=REPEATS)
    print_rows([("hits " + what, "requests/s", "p50 ms", "p99 ms"), *map(_row, found.items())])
    ratio = found["large"].p99_ms / found["small"].p99_ms
    errors = sum(each.errors for each in found.values())
    return [
        Figure(
            f"hits {what}: p99", f"{ratio:.2f} × an empty one's", f"≤ {MOST_RATIO:g} ×", ratio <= MOST_RATIO,
            f"{found['large'].p99_ms:.2f} ms",
        ),
        Figure(f"hits {what}: errors", str(errors), "0", errors == 0),
    ]  # fmt: skip


def _row(item: tuple[str, Measurement]) -> tuple[str, ...]:
    name, found = item
    return name, f"{found.requests_per_second:,.0f}", f"{found.p50_ms:.2f}", f"{found.p99_ms:.2f}"


def _memory(large: Installation, ours: Orchard, other: Orchard) -> list[Figure]:
    count = min(WIDE, large.sizes.packages // 2)
    before = ours.rss_mib("gateway")
    asyncio.run(_ask_all(ours, count))
    grown, most = ours.rss_mib("gateway") - before, MOST_L1_MIB + MOST_OVER_MIB
    fetchers = ours.rss_mib("fetcher") / other.rss_mib("fetcher")
    return [
        Figure(f"gateway's memory, {count} pages later", f"+{grown:.0f} MiB", f"≤ {most} MiB", grown <= most),
        Figure("fetcher's memory", f"{fetchers:.2f} × an empty one's", "≤ 1.2 ×", fetchers <= MOST_RATIO),
    ]


async def _ask_all(ours: Orchard, count: int) -> None:
    numbers = iter(range(count))
    connector = aiohttp.TCPConnector(limit=32)
    async with aiohttp.ClientSession(connector=connector, headers=JSON, auto_decompress=False) as session:

        async def ask() -> None:
            for number in numbers:
                async with session.get(ours.url(f"/pypi/simple/{package(number * 2)[1]}/")) as answer:
                    assert answer.status == 200, answer.status
                    await answer.read()

        await asyncio.gather(*(ask() for _ in range(32)))
