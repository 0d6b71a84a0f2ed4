"""Maven, warm: POM, jar, checksum and metadata hits against nginx, one core each."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from bench.harness import load, maven_corpus, peers
from bench.harness.load import Measurement
from bench.harness.orchard import orchard
from bench.harness.table import Figure, print_figures, print_rows
from bench.warm import REPEATS, SECONDS, warm_up

# What mvn sends with every request.
HEADERS = {"Accept-Encoding": "gzip, deflate", "Cache-Control": "no-cache", "Pragma": "no-cache"}
BAR = 0.25
ROWS = {
    "POM 4 kB, c=32": (maven_corpus.POM, 32),
    "checksum of a POM, c=32": (maven_corpus.POM + ".sha1", 32),
    "metadata 6 kB, c=32": (maven_corpus.METADATA, 32),
    "jar 1 MB, c=16": (maven_corpus.JAR, 16),
}


def run(work: Path, root: Path) -> list[Figure]:
    """The rows of Maven with their bars."""
    maven_corpus.build(root)
    with (
        peers.upstream(work / "upstream", root) as upstream,
        peers.nginx_cache(work / "nginx", int(upstream.base.rsplit(":", 1)[1])) as nginx,
        orchard(
            work / "orchard", upstream=f"{upstream.base}/simple/", maven_upstream=f"{upstream.base}/maven/"
        ) as ours,
    ):
        bases = {"nginx": f"{nginx.base}/maven", "orchard": ours.url("/maven")}
        results: dict[str, dict[str, Measurement]] = {}
        for row, (path, connections) in ROWS.items():
            addresses = {name: f"{base}/{path}" for name, base in bases.items()}
            warm_up(list(addresses.values()), HEADERS)
            servers = {
                name: partial(load.wrk, url, connections=connections, seconds=SECONDS, headers=HEADERS)
                for name, url in addresses.items()
            }
            results[row] = load.interleaved(servers, repeats=REPEATS)
    print("\n## Maven: requests/s (p50 ms / p99 ms)\n")
    rows = [("", *bases)]
    figures = []
    for row, runs in results.items():
        cells = [
            f"{r.requests_per_second:,.1f} ({r.p50_ms:.2f} / {r.p99_ms:.1f})"
            for r in map(runs.__getitem__, bases)
        ]
        rows.append((row, *cells))
        ratio = runs["orchard"].requests_per_second / runs["nginx"].requests_per_second
        figures.append(Figure(row, f"{ratio:.2f} × nginx", f"≥ {BAR:g} × nginx", ratio >= BAR))
    print_rows(rows)
    print_figures("Maven", figures)
    return figures
