"""The miss path under load: pool sizing, files per second, and an index miss beside stalled downloads."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from bench.harness import corpus, peers
from bench.harness.download import Download, download, file_address
from bench.harness.orchard import Orchard, orchard
from bench.harness.table import Figure, print_figures

BURST_FILES = 256


def run(work: Path, root: Path) -> list[Figure]:
    """Figures of the miss path; the upstream counts its connections."""
    figures: list[Figure] = []
    for number in range(BURST_FILES):
        corpus.add_wheel(root, f"burst{number:03d}", 10 * 1024)
    with (
        peers.upstream(work / "upstream", root) as upstream,
        orchard(work / "burst", upstream=f"{upstream.base}/simple/", pin=False) as ours,
    ):
        figures += asyncio.run(_burst(ours))
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
    results = await asyncio.gather(*(download(each) for each in addresses), return_exceptions=True)
    seconds = time.perf_counter() - started
    good = [each for each in results if isinstance(each, Download) and each.status == 200]
    rate = len(good) / seconds
    return [
        Figure("256 cold files at once: complete", f"{len(good)} of 256", "256", len(good) == BURST_FILES),
        Figure("cold path", f"{rate:.0f} files/s", "≥ 150 files/s", rate >= 150),
    ]
