"""The miss path under load: pool sizing, files per second, job start, and a miss beside stalled downloads."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

import uvloop

from bench import http_client, queue_latency
from bench.harness import corpus, peers
from bench.harness.download import Download, download, file_address
from bench.harness.orchard import Orchard, orchard
from bench.harness.table import Figure, print_figures
from tests.support.upstream import Fault, Upstream

BURST_FILES = 256
MAX_CONNECTIONS = 100
STALLED = 200
RATE_SECONDS = 10.0


def run(work: Path, root: Path) -> list[Figure]:
    """Figures of the miss path, each part alone."""
    figures: list[Figure] = []
    for number in range(BURST_FILES):
        corpus.add_wheel(root, f"burst{number:03d}", 10 * 1024)
    with (
        peers.upstream(work / "upstream", root) as upstream,
        orchard(work / "burst", upstream=f"{upstream.base}/simple/", pin=False) as ours,
    ):
        figures += asyncio.run(_burst(ours))
    # An upstream that takes its time and counts: the pool fills up, and its bound must hold.
    with (
        Upstream() as slow,
        orchard(
            work / "pool",
            upstream=f"{slow.url}/simple/",
            pin=False,
            http_max_connections=MAX_CONNECTIONS,
        ) as ours,
    ):
        figures += asyncio.run(_connections(slow, ours))
        figures += asyncio.run(_stalled(slow, ours))
    figures += uvloop.run(_queue())
    rate, p99, connects = http_client.measure(RATE_SECONDS, 64)
    figures.append(
        Figure(
            "HttpClientManager alone, 10 s of 10 kB files, 64 at once", f"{rate:,.0f} req/s",
            "≥ 1,000 req/s", rate >= http_client.BAR, f"p99 {p99:.0f} ms, {connects} connections",
        )
    )  # fmt: skip
    print_figures("Miss path", figures)
    return figures


async def _burst(ours: Orchard) -> list[Figure]:
    """256 cold files at once through one fetcher: whole cold path, pages known."""
    addresses = []
    for number in range(BURST_FILES):
        name = f"burst{number:03d}"
        addresses.append(
            await file_address(ours.url(f"/pypi/simple/{name}/"), f"{name}-1.0-py3-none-any.whl")
        )
    started = time.perf_counter()
    good = await _complete(addresses)
    seconds = time.perf_counter() - started
    rate = len(good) / seconds
    last = max(each.total_seconds for each in good) if good else float("nan")
    return [
        Figure("256 cold files at once: complete", f"{len(good)} of 256", "256", len(good) == BURST_FILES),
        Figure(
            "cold path", f"{rate:.0f} files/s", "≥ 150 files/s", rate >= 150, f"slowest {last * 1000:.0f} ms"
        ),
    ]


async def _connections(slow: Upstream, ours: Orchard) -> list[Figure]:
    """The same burst from an upstream that answers after 0.1 s: at least three rounds of 100."""
    names = _publish(slow, "pool", BURST_FILES)
    for path in names:
        slow.fault(f"/files/pool/{path}", Fault(delay_seconds=0.1))
    addresses = await _addresses(ours, "pool", names)
    good = await _complete(addresses)
    peak = slow.peak_connections
    return [
        Figure("256 at once, upstream takes 0.1 s: complete", f"{len(good)} of 256", "256", len(good) == 256),
        Figure(
            "… most connections to the upstream",
            str(peak),
            f"≤ {MAX_CONNECTIONS}",
            peak <= MAX_CONNECTIONS,
            f"{slow.connections} ever made",
        ),
    ]


async def _stalled(slow: Upstream, ours: Orchard) -> list[Figure]:
    """200 downloads that stand still, and then a page that nobody asked for before."""
    names = _publish(slow, "stalled", STALLED)
    for name in names:
        slow.fault(f"/files/stalled/{name}", Fault(stall_at=5_000))
    addresses = await _addresses(ours, "stalled", names)
    tasks = [asyncio.create_task(download(each)) for each in addresses]
    await _until(lambda: sum(slow.count(f"/files/stalled/{name}") for name in names) >= 85)
    _publish(slow, "fresh", 1)
    started = time.perf_counter()
    page = await download(ours.url("/pypi/simple/fresh/"), accept="application/vnd.pypi.simple.v1+json")
    seconds = time.perf_counter() - started
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    met = page.status == 200 and seconds < 1.0
    return [Figure("index miss beside 200 stalled downloads", f"{seconds * 1000:.0f} ms", "< 1 s", met)]


async def _queue() -> list[Figure]:
    """Start latency and idle cost of workers, on a Redis of their own."""
    p50, p99, idle = await queue_latency.start_and_idle(jobs=500, workers=4, seconds=5.0)
    start_bar, idle_bar = queue_latency.START_BAR_MS, queue_latency.IDLE_BAR_COMMANDS
    return [
        Figure(
            "enqueue to job start, p50",
            f"{p50:.2f} ms",
            f"< {start_bar:g} ms",
            p50 < start_bar,
            f"p99 {p99:.2f} ms",
        ),
        Figure(
            "Redis commands of an idle worker",
            f"{idle:.1f} /s",
            f"≤ {idle_bar:g} /s",
            idle <= idle_bar,
            "those inside Lua included",
        ),
    ]


def _publish(slow: Upstream, project: str, count: int) -> list[str]:
    files = {f"{project}-{number}.0.tar.gz": b"\x1f\x8b" + os.urandom(10_000) for number in range(count)}
    slow.add_project(project, files)
    return list(files)


async def _addresses(ours: Orchard, project: str, names: list[str]) -> list[str]:
    page = ours.url(f"/pypi/simple/{project}/")
    return [await file_address(page, name) for name in names]


async def _complete(addresses: list[str]) -> list[Download]:
    results = await asyncio.gather(*(download(each) for each in addresses), return_exceptions=True)
    return [each for each in results if isinstance(each, Download) and each.status == 200]


async def _until(ready: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not ready():
            await asyncio.sleep(0.05)
