"""npm, warm: packuments and a tarball against nginx and Verdaccio, one core each; gateway memory."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from bench.harness import load, npm_corpus, peers, processes
from bench.harness.download import download
from bench.harness.load import Measurement
from bench.harness.orchard import Orchard, orchard
from bench.harness.table import Figure, print_figures, print_rows
from bench.warm import REPEATS, SECONDS, warm_up

# A dependency of Verdaccio's names a tag that not every registry lists: it is given a version here.
MANIFEST = {
    "private": True,
    "dependencies": {"verdaccio": "6.8.0"},
    "overrides": {"node-fetch": "2.7.0", "node-fetch-cjs": "npm:node-fetch@2.7.0"},
}
HOME = Path(__file__).resolve().parent / ".work" / "verdaccio"
CONFIG = """\
storage: {work}/storage
listen: 127.0.0.1:{port}
uplinks: {{ upstream: {{ url: {upstream}, maxage: 10m }} }}
packages: {{ "**": {{ access: $all, proxy: upstream }} }}
log: {{ type: file, path: {work}/verdaccio.log, level: http }}
"""


def run(work: Path, root: Path) -> list[Figure]:
    """The rows of npm with their bars; without node, Verdaccio is left out and said so."""
    with peers.upstream(work / "upstream", root) as upstream:
        npm_corpus.build(root, upstream.base)
        with (
            peers.nginx_cache(work / "nginx", int(upstream.base.rsplit(":", 1)[1])) as nginx,
            _verdaccio(work / "verdaccio", f"{upstream.base}/npm/") as verdaccio,
            orchard(
                work / "orchard", upstream=f"{upstream.base}/simple/", npm_upstream=f"{upstream.base}/npm/"
            ) as ours,
        ):
            bases = {"nginx": f"{nginx.base}/npm", "orchard": ours.url("/npm")}
            if verdaccio:
                bases["verdaccio"] = verdaccio
            figures = [*_measure(bases, ours), _worker_memory(ours, root, upstream.base)]
            print_figures("npm", figures)
            return figures


def _measure(bases: Mapping[str, str], ours: Orchard) -> list[Figure]:
    full = {"Accept": "application/json", "Accept-Encoding": "gzip"}
    rows = {
        "packument 59 kB, full, gzip, c=32": ("/small", full, 32),
        "packument 4 MB, full, gzip, c=8": ("/full", full, 8),
        "tarball 21 kB, c=32": ("/tiny/-/tiny-1.0.0.tgz", {"Accept-Encoding": "identity"}, 32),
        "tarball 1 MB, c=16": ("/small/-/small-1.0.0.tgz", {"Accept-Encoding": "identity"}, 16),
    }
    results: dict[str, dict[str, Measurement]] = {}
    for row, (path, headers, connections) in rows.items():
        warm_up([base + path for base in bases.values()], headers)
        servers = {
            name: partial(load.wrk, base + path, connections=connections, seconds=SECONDS, headers=headers)
            for name, base in bases.items()
        }
        results[row] = load.interleaved(servers, repeats=REPEATS)
    _print(results, list(bases))
    figures = []
    for row, runs in results.items():
        rate = runs["orchard"].requests_per_second
        for other, bar in (("nginx", 0.25), ("verdaccio", 10.0)):
            if other in runs:
                theirs = runs[other].requests_per_second
                told = f"{rate / theirs:.2f} × {other}" if theirs else f"{other} answered none in time"
                figures.append(Figure(row, told, f"≥ {bar:g} × {other}", rate >= bar * theirs))
    figures.append(asyncio.run(_memory(ours)))
    return figures


def _worker_memory(ours: Orchard, root: Path, upstream: str) -> Figure:
    """A packument of 40 MB that has changed at the upstream: the fetcher's peak above what it had."""
    address = ours.url(f"/npm/{npm_corpus.HUGE}")
    asyncio.run(_patiently(address))
    size = npm_corpus.put_packument(root, upstream, npm_corpus.HUGE, 27_300)
    before = ours.rss_mib("fetcher")
    for pid in ours.pids("fetcher"):
        Path(f"/proc/{pid}/clear_refs").write_text("5")  # proc(5): VmHWM starts anew
    headers = {"Cache-Control": "no-cache", "Accept": "application/json"}
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:  # no-cache asks the upstream at most once in ten seconds
        with urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=60) as answer:
            if b'"2.272.98"' in answer.read():
                break
        time.sleep(1)
    peak = max(processes.peak_rss_mib(pid) for pid in ours.pids("fetcher"))
    megabytes = (peak - before) * 1.048576
    return Figure(
        f"fetcher memory for a packument of {size / 1e6:.0f} MB",
        f"{megabytes:.0f} MB",
        "≤ 150 MB",
        megabytes <= 150,
        f"above {before * 1.048576:.0f} MB before",
    )


async def _memory(ours: Orchard) -> Figure:
    """Ten packuments of 20 MB at once, each fetched, derived and sent; the gateway's memory."""
    addresses = [ours.url(f"/npm/{name}") for name in npm_corpus.LARGE]
    peak = 0.0
    done = asyncio.Event()

    async def watch() -> None:
        nonlocal peak
        while not done.is_set():
            peak = max(peak, ours.rss_mib("gateway"))
            await asyncio.sleep(0.1)

    watcher = asyncio.create_task(watch())
    try:
        results = await asyncio.gather(*(_patiently(address) for address in addresses))
    finally:
        done.set()
        await watcher
    sizes = ", ".join(f"{size / 1e6:.0f}" for size in sorted(set(results)))
    megabytes = peak * 1.048576
    return Figure(
        "gateway memory at 10 packuments at once",
        f"{megabytes:.0f} MB",
        "< 200 MB",
        megabytes < 200,
        f"of {sizes} MB",
    )


async def _patiently(url: str) -> int:
    """The size of a packument; a 503 is tried again, as npm does."""
    for _ in range(60):
        answer = await download(url, accept="application/json")
        if answer.status == 200:
            return answer.size_bytes
        await asyncio.sleep(1)
    raise RuntimeError(f"{url} stays {answer.status}")


@contextmanager
def _verdaccio(work: Path, upstream: str) -> Iterator[str]:
    """Verdaccio's address, "" where there is no node to run it."""
    if shutil.which("npm") is None:
        print("  node and npm are not installed: Verdaccio is left out")
        yield ""
        return
    program = HOME / "node_modules" / ".bin" / "verdaccio"
    if not program.exists():
        print("  installing Verdaccio (once) …", flush=True)
        HOME.mkdir(parents=True, exist_ok=True)
        (HOME / "package.json").write_text(json.dumps(MANIFEST))
        options = ["--silent", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"]
        subprocess.run(["npm", "install", *options], cwd=HOME, check=True)
    work.mkdir(parents=True, exist_ok=True)
    port = processes.free_port()
    config = work / "config.yaml"
    config.write_text(CONFIG.format(work=work, port=port, upstream=upstream))
    env = {**os.environ, "HOME": str(work)}
    with processes.running([str(program), "--config", str(config)], log=work / "out.log", env=env) as process:
        processes.wait_http(f"http://127.0.0.1:{port}/-/ping", process)
        yield f"http://127.0.0.1:{port}"


def _print(results: Mapping[str, Mapping[str, Measurement]], names: list[str]) -> None:
    print("\n## npm: requests/s (p50 ms / p99 ms)\n")
    rows = [("", *names)]
    for row, runs in results.items():
        cells = [
            f"{r.requests_per_second:,.1f} ({r.p50_ms:.2f} / {r.p99_ms:.1f})"
            for r in map(runs.__getitem__, names)
        ]
        rows.append((row, *cells))
    print_rows(rows)
