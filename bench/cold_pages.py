"""Cold pages: how much later than the upstream's own answer, and how many a fetcher finishes."""

from __future__ import annotations

import asyncio
import statistics
import time
from pathlib import Path

from bench.harness import corpus, peers, processes
from bench.harness.download import JSON, Download, download
from bench.harness.orchard import Orchard, orchard
from bench.harness.table import Figure, print_figures

LARGE = [f"cold{number}" for number in range(12)]  # 1.4 MB each
SMALL = [f"k{number:04d}" for number in range(60)]  # 22 kB each
AT_ONCE = [f"k{number:04d}" for number in range(100, 300)]


def run(work: Path, root: Path) -> list[Figure]:
    """All figures of cold pages, with their bars."""
    for name in LARGE:
        if not (root / "simple" / name / "index.json").exists():
            corpus.publish(root, name, corpus.made_up(name, 3550))
    with (
        peers.upstream(work / "upstream", root) as upstream,
        orchard(work / "orchard", upstream=f"{upstream.base}/simple/", pin=False) as ours,
    ):
        figures = asyncio.run(_measure(upstream, ours))
    print_figures("Cold pages", figures)
    return figures


async def _measure(upstream: peers.Peer, ours: Orchard) -> list[Figure]:
    await download(ours.url("/pypi/simple/w10k/"), accept=JSON, coding="gzip")  # imports, connections
    figures = []
    for what, names, most in (("1.4 MB", LARGE, 60), ("22 kB", SMALL, 8)):
        for coding in ("gzip", "zstd"):
            half = names[::2] if coding == "gzip" else names[1::2]
            later, worst = await _later(upstream, ours, half, coding)
            bar = f"≤ {most} ms"
            figures.append(
                Figure(
                    f"cold page of {what}, {coding}: later than the upstream's, median of {len(half)}",
                    f"{later:.1f} ms", bar, later <= most, f"slowest {worst:.1f} ms",
                )
            )  # fmt: skip
    return figures + await _at_once(ours)


async def _later(upstream: peers.Peer, ours: Orchard, names: list[str], coding: str) -> tuple[float, float]:
    """Milliseconds, at the median and at worst, one page at a time on an idle system."""
    later = []
    for name in names:
        await asyncio.sleep(0.05)
        direct = await download(upstream.page_url(name), accept=JSON, coding="gzip")
        through = await download(ours.url(f"/pypi/simple/{name}/"), accept=JSON, coding=coding)
        assert (direct.status, through.status, through.x_cache) == (200, 200, "MISS"), through
        later.append((through.total_seconds - direct.total_seconds) * 1000)
    return statistics.median(later), max(later)


async def _at_once(ours: Orchard) -> list[Figure]:
    """A burst of as many cold pages as a large resolution asks for."""
    fetchers = ours.pids("fetcher")
    before, began = processes.cpu_seconds(fetchers), time.perf_counter()
    found = await asyncio.gather(
        *(download(ours.url(f"/pypi/simple/{name}/"), accept=JSON, coding="gzip") for name in AT_ONCE)
    )
    took, cpu = time.perf_counter() - began, processes.cpu_seconds(fetchers) - before
    assert all(_is_cold(each) for each in found)
    rate = len(found) / cpu
    return [
        Figure(
            f"{len(found)} cold pages of 22 kB at once: pages for a second of a fetcher's core",
            f"{rate:.0f}", "≥ 150", rate >= 150, f"all after {took:.2f} s; {cpu:.2f} s of its CPU",
        )
    ]  # fmt: skip


def _is_cold(page: Download) -> bool:
    return page.status == 200 and page.x_cache == "MISS"
