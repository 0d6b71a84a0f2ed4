"""Cold pages: how much later than the upstream's own answer, where that time goes, and how many a fetcher
finishes.
"""

from __future__ import annotations

import asyncio
import json
import re
import statistics
import time
import urllib.request
from pathlib import Path

from bench.harness import corpus, peers, processes
from bench.harness.download import JSON, Download, download
from bench.harness.orchard import Orchard, orchard
from bench.harness.table import Figure, print_figures

LARGE = [f"cold{number}" for number in range(12)]  # 1.4 MB each
SMALL = [f"k{number:04d}" for number in range(60)]  # 22 kB each
AT_ONCE = [f"k{number:04d}" for number in range(100, 300)]
COUNTED = [f"k{number:04d}" for number in range(400, 440)]
IDLE_SECONDS = 3.0
_CALLS = re.compile(
    r'^orchard_(?:redis_request_duration_seconds_count\{role="(\w+)"\}|database_statements_total) (\S+)',
    re.MULTILINE,
)


def run(work: Path, root: Path) -> list[Figure]:
    """All figures of cold pages, with their bars."""
    for name in LARGE:
        if not (root / "simple" / name / "index.json").exists():
            corpus.publish(root, name, corpus.made_up(name, 3550))
    with (
        peers.upstream(work / "upstream", root) as upstream,
        orchard(work / "orchard", upstream=f"{upstream.base}/simple/", pin=False) as ours,
    ):
        figures = asyncio.run(_measure(upstream, ours, work / "upstream" / "times.log"))
    print_figures("Cold pages", figures)
    return figures


async def _measure(upstream: peers.Peer, ours: Orchard, times: Path) -> list[Figure]:
    await download(ours.url("/pypi/simple/w10k/"), accept=JSON, coding="gzip")  # imports, connections
    figures = []
    for what, names, most in (("1.4 MB", LARGE, 60), ("22 kB", SMALL, 8)):
        for coding in ("gzip", "zstd"):
            half = names[::2] if coding == "gzip" else names[1::2]
            later, worst, before, after = await _later(upstream, ours, half, coding, times)
            bar = f"≤ {most} ms"
            figures.append(
                Figure(
                    f"cold page of {what}, {coding}: later than the upstream's, median of {len(half)}",
                    f"{later:.1f} ms", bar, later <= most,
                    f"slowest {worst:.1f} ms; until the upstream had answered {before:.0f}, then {after:.0f}",
                )
            )  # fmt: skip
    return [*figures, await _steps(ours), *await _at_once(ours)]


async def _later(
    upstream: peers.Peer, ours: Orchard, names: list[str], coding: str, times: Path
) -> tuple[float, float, float, float]:
    """Milliseconds, one page at a time on an idle system: later than the upstream's, at the median and at
    worst; of that, from the client's request to the upstream's last byte, and from then on."""
    later, before, after = [], [], []
    for name in names:
        await asyncio.sleep(0.05)
        direct = await download(upstream.page_url(name), accept=JSON, coding="gzip")
        began = time.time()
        through = await download(ours.url(f"/pypi/simple/{name}/"), accept=JSON, coding=coding)
        ended = began + through.total_seconds
        assert (direct.status, through.status, through.x_cache) == (200, 200, "MISS"), through
        later.append((through.total_seconds - direct.total_seconds) * 1000)
        answered = float(times.read_text().splitlines()[-1].split()[0])
        before.append((answered - began) * 1000)
        after.append((ended - answered) * 1000)
    return statistics.median(later), max(later), statistics.median(before), statistics.median(after)


async def _steps(ours: Orchard) -> Figure:
    """Calls of Redis and SQL statements for a cold page, less what an idle system does in the same time."""
    started = next(
        json.loads(line)
        for line in (ours.data / "logs" / "fetcher.log").read_text().splitlines()
        if '"fetcher_started"' in line
    )
    urls = {"gateway": ours.url("/metrics"), "fetcher": f"http://{started['address']}/metrics"}
    counts = [await asyncio.to_thread(_calls, urls)]
    await asyncio.sleep(IDLE_SECONDS)
    counts.append(await asyncio.to_thread(_calls, urls))
    began = time.perf_counter()
    for name in COUNTED:
        await download(ours.url(f"/pypi/simple/{name}/"), accept=JSON, coding="gzip")
    took = time.perf_counter() - began
    counts.append(await asyncio.to_thread(_calls, urls))
    first, idle, last = counts
    each = {
        what: (last[what] - idle[what] - (idle[what] - first[what]) * took / IDLE_SECONDS) / len(COUNTED)
        for what in sorted(last)
    }
    redis = sum(number for what, number in each.items() if not what.endswith("SQL"))
    sql = sum(number for what, number in each.items() if what.endswith("SQL"))
    return Figure(
        "cold page of 22 kB: calls of Redis, and SQL statements", f"{redis:.1f}, {sql:.1f}",
        note=", ".join(f"{what} {number:.1f}" for what, number in each.items() if number >= 0.05),
    )  # fmt: skip


def _calls(urls: dict[str, str]) -> dict[str, float]:
    """What each service has asked of its stores so far."""
    found: dict[str, float] = {}
    for service, url in urls.items():
        with urllib.request.urlopen(url, timeout=10) as reply:
            for role, number in _CALLS.findall(reply.read().decode()):
                found[f"{service}'s {role or 'SQL'}"] = float(number)
    return found


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
