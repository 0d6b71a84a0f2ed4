"""Cold files: first byte, coalescing, overhead, memory. An upstream that is slow on purpose."""

from __future__ import annotations

import asyncio
import statistics
from pathlib import Path

from bench.harness import corpus, peers, processes
from bench.harness.download import Download, download, file_address
from bench.harness.orchard import Orchard, orchard
from bench.harness.table import Figure, print_figures

MIB = 1024 * 1024


def run(work: Path, root: Path) -> list[Figure]:
    """All cold figures with their bars."""
    figures: list[Figure] = []
    with peers.upstream(work / "slow", root, limit_rate="4m") as slow:
        with orchard(work / "first-byte", upstream=f"{slow.base}/simple/", pin=False) as ours:
            figures += asyncio.run(_first_byte(slow, ours))
        with orchard(
            work / "stampede", upstream=f"{slow.base}/simple/", gateways=2, fetchers=2, pin=False
        ) as ours:
            figures += asyncio.run(_stampede(work / "slow" / "access.log", ours))
        with peers.nginx_cache(work / "nginx-cold", int(slow.base.rsplit(":", 1)[1])) as nginx:
            figures += asyncio.run(_peer_stampede(work / "slow" / "access.log", nginx))
    with (
        peers.upstream(work / "fast", root) as fast,
        orchard(work / "overhead", upstream=f"{fast.base}/simple/", pin=False) as ours,
    ):
        figures += asyncio.run(_overhead(fast, ours))
    corpus.add_wheel(root, "w1g", 1024 * MIB)
    with (
        peers.upstream(work / "big", root, limit_rate="64m") as big,
        orchard(work / "memory", upstream=f"{big.base}/simple/", pin=False) as ours,
    ):
        figures += asyncio.run(_memory(ours))
    print_figures("Cold files", figures)
    return figures


async def _first_byte(slow: peers.Peer, ours: Orchard) -> list[Figure]:
    """16 MB from an upstream limited to 4 MB/s: directly, then through Orchard."""
    name = "w16m-1.0-py3-none-any.whl"
    direct = await download(slow.file_url("w16m", name))
    address = await file_address(ours.url("/pypi/simple/w16m/"), name)
    through = await download(address)
    later = through.first_byte_seconds - direct.first_byte_seconds
    ratio = through.total_seconds / direct.total_seconds
    same = through.sha256 == direct.sha256
    return [
        Figure("16 MB at 4 MB/s: first byte later", f"{later * 1000:.0f} ms", "≤ 100 ms", later <= 0.1),
        Figure(
            "16 MB at 4 MB/s: total", f"{ratio:.3f} × direct", "≤ 1.05 ×", ratio <= 1.05 and same,
            f"{through.total_seconds:.2f} s; X-Cache {through.x_cache}",
        ),
    ]  # fmt: skip


async def _stampede(access_log: Path, ours: Orchard) -> list[Figure]:
    """64 clients of one 12 MB wheel over two gateways."""
    name = "w12m-1.0-py3-none-any.whl"
    addresses = [await file_address(ours.url("/pypi/simple/w12m/", gateway), name) for gateway in (0, 1)]
    pids = {service: ours.pids(service) for service in ("gateway", "fetcher")}
    before = {service: processes.cpu_seconds(found) for service, found in pids.items()}
    results = await _together([addresses[number % 2] for number in range(64)])
    used = {service: processes.cpu_seconds(found) - before[service] for service, found in pids.items()}
    complete = [r for r in results if isinstance(r, Download) and r.status == 200 and len({r.sha256}) == 1]
    first = max((r.first_byte_seconds for r in complete), default=float("nan"))
    last = max((r.total_seconds for r in complete), default=float("nan"))
    gets = _gets(access_log, name)
    digests = {r.sha256 for r in complete}
    return [
        Figure("64 cold clients, 2 gateways, 2 fetchers: upstream GETs", str(gets), "1", gets == 1),
        Figure(
            "… all complete and equal",
            f"{len(complete)} of 64",
            "64",
            len(complete) == 64 and len(digests) == 1,
        ),
        Figure("… slowest first byte", f"{first:.3f} s", "≤ 0.5 s", first <= 0.5, f"last done {last:.2f} s"),
        Figure("… CPU of gateways and fetchers", f"{used['gateway']:.2f} s, {used['fetcher']:.2f} s"),
    ]


async def _peer_stampede(access_log: Path, nginx: peers.Peer) -> list[Figure]:
    """The same against nginx with cache_lock, for comparison."""
    name = "w12m-1.0-py3-none-any.whl"
    before = _gets(access_log, name)
    results = [r for r in await _together([nginx.file_url("w12m", name)] * 64) if isinstance(r, Download)]
    first = max(r.first_byte_seconds for r in results)
    gets = _gets(access_log, name) - before
    return [
        Figure("nginx, 64 cold clients: slowest first byte", f"{first:.2f} s", note=f"{gets} upstream GETs")
    ]


async def _overhead(fast: peers.Peer, ours: Orchard) -> list[Figure]:
    """10 kB-class files, one at a time on an idle system; the page is known, the file is not."""
    extra: list[float] = []
    for number in range(1, corpus.APP_PACKAGES):
        project = f"app{number:02d}"
        name = f"{project}-1.0-py3-none-any.whl"
        address = await file_address(ours.url(f"/pypi/simple/{project}/"), name)
        await asyncio.sleep(0.05)
        direct = await download(fast.file_url(project, name))
        through = await download(address)
        extra.append((through.total_seconds - direct.total_seconds) * 1000)
    middle = statistics.median(extra)
    worst = sorted(extra)[int(len(extra) * 0.95)]
    return [
        Figure(
            "cold small file over direct, median of 60",
            f"{middle:.1f} ms",
            "≤ 15 ms",
            middle <= 15,
            f"p95 {worst:.1f} ms",
        )
    ]


async def _memory(ours: Orchard) -> list[Figure]:
    """1 GB relayed to 8 clients, half of them slow; memory read while it runs."""
    address = await file_address(ours.url("/pypi/simple/w1g/"), "w1g-1.0-py3-none-any.whl")
    peak = {"gateway": 0.0, "fetcher": 0.0}
    done = asyncio.Event()

    async def watch() -> None:
        while not done.is_set():
            for service in peak:
                peak[service] = max(peak[service], ours.rss_mib(service))
            await asyncio.sleep(0.5)

    watcher = asyncio.create_task(watch())
    pauses = [0.0, 0.002] * 4
    results = await asyncio.gather(*(download(address, pause=pause) for pause in pauses))
    done.set()
    await watcher
    equal = len({each.sha256 for each in results}) == 1 and all(each.status == 200 for each in results)
    figures = [Figure("1 GB to 8 clients: all complete and equal", str(equal), "True", equal)]
    for service, rss in peak.items():
        figures.append(Figure(f"… {service} memory", f"{rss:.0f} MiB", "< 200 MB", rss * 1.048576 < 200))
    return figures


async def _together(addresses: list[str]) -> list[Download | BaseException]:
    return await asyncio.gather(*(download(address) for address in addresses), return_exceptions=True)


def _gets(access_log: Path, filename: str) -> int:
    """GET requests for exactly this file in the upstream's log."""
    lines = access_log.read_text().splitlines()
    return sum(1 for line in lines if f'"GET /files/{filename} ' in line)
