"""Warm hits against nginx proxy_cache, proxpi and devpi: one process per server on one core."""

from __future__ import annotations

import json
import urllib.parse
import urllib.request
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from bench import hot
from bench.harness import corpus, load, peers
from bench.harness.load import Measurement
from bench.harness.orchard import Orchard, orchard
from bench.harness.table import Figure, print_figures, print_rows

JSON = "application/vnd.pypi.simple.v1+json"
REPEATS = 3
SECONDS = 3.0


def run(work: Path, root: Path) -> list[Figure]:
    """All warm rows; returns the figures that have bars."""
    with (
        peers.upstream(work / "upstream", root) as upstream,
        peers.nginx_cache(work / "nginx", int(upstream.base.rsplit(":", 1)[1])) as nginx,
        peers.proxpi(work / "proxpi", f"{upstream.base}/simple/") as proxpi,
        peers.devpi(work / "devpi", f"{upstream.base}/simple/") as devpi,
        orchard(work / "orchard", upstream=f"{upstream.base}/simple/") as ours,
    ):
        figures = _measure(work, nginx, proxpi, devpi, ours)
    return figures + hot.run(work / "hot", root)


def _measure(
    work: Path, nginx: peers.Peer, proxpi: peers.Peer, devpi: peers.Peer, ours: Orchard
) -> list[Figure]:
    wheel = "w1m-1.0-py3-none-any.whl"
    our_page = ours.url("/pypi/simple/{project}/")
    our_wheel = urllib.parse.urljoin(
        ours.url("/pypi/simple/w1m/"), _file_url(ours.url("/pypi/simple/w1m/"), wheel)
    )
    warm_up([our_wheel, nginx.file_url("w1m", wheel), proxpi.file_url("w1m", wheel)])
    warm_up([our_page.format(project=f"k{n:04d}") for n in range(corpus.DISTINCT_PAGES)])
    warm_up([nginx.page_url(f"k{n:04d}") for n in range(corpus.DISTINCT_PAGES)])

    def pages(project: str, coding: str, connections: int, names: Sequence[str]) -> dict[str, Measurement]:
        addresses = {
            "nginx": nginx.page_url(project),
            "orchard": our_page.format(project=project),
            "proxpi": proxpi.page_url(project),
            "devpi": devpi.page_url(project),
        }
        headers = {"Accept": JSON, "Accept-Encoding": coding}
        warm_up([addresses[name] for name in names], headers)
        return load.interleaved(
            {
                name: partial(
                    load.wrk, addresses[name], connections=connections, seconds=SECONDS, headers=headers
                )
                for name in names
            },
            repeats=REPEATS,
        )

    def distinct() -> dict[str, Measurement]:
        nginx_script = load.distinct_script(work / "nginx.lua", "/simple/k%04d/", corpus.DISTINCT_PAGES)
        our_script = load.distinct_script(work / "ours.lua", "/pypi/simple/k%04d/", corpus.DISTINCT_PAGES)
        headers = {"Accept": JSON, "Accept-Encoding": "gzip"}
        return load.interleaved(
            {
                "nginx": partial(
                    load.wrk,
                    nginx.base,
                    connections=32,
                    seconds=SECONDS,
                    headers=headers,
                    script=nginx_script,
                ),
                "orchard": partial(
                    load.wrk,
                    ours.url(""),
                    connections=32,
                    seconds=SECONDS,
                    headers=headers,
                    script=our_script,
                ),
            },
            repeats=REPEATS,
        )

    def files() -> dict[str, Measurement]:
        addresses = {
            "nginx": nginx.file_url("w1m", wheel),
            "orchard": our_wheel,
            "proxpi": proxpi.file_url("w1m", wheel),
        }
        headers = {"Accept-Encoding": "identity"}
        return load.interleaved(
            {
                n: partial(load.wrk, a, connections=16, seconds=SECONDS, headers=headers)
                for n, a in addresses.items()
            },
            repeats=REPEATS,
        )

    everyone = ("nginx", "orchard", "proxpi", "devpi")
    two = ("nginx", "orchard")
    results = {
        "small page 22 kB, identity, c=32": pages("small", "identity", 32, everyone),
        "small page 22 kB, gzip, c=32": pages("small", "gzip", 32, two),
        "small page 22 kB, gzip, c=256": pages("small", "gzip", 256, two),
        "small page, gzip, c=1": pages("small", "gzip", 1, two),
        "1,000 distinct small pages, gzip, c=32": distinct(),
        "large page 1.4 MB, gzip, c=32": pages("large", "gzip", 32, two),
        "large page 1.4 MB, identity, c=32": pages("large", "identity", 32, two),
        "1 MB wheel, c=16": files(),
    }
    _print(results)
    return _figures(results)


def _figures(results: dict[str, dict[str, Measurement]]) -> list[Figure]:
    def ratio(row: str, other: str) -> float:
        return results[row]["orchard"].requests_per_second / results[row][other].requests_per_second

    figures = []
    for row, other, bar in (
        ("small page 22 kB, gzip, c=32", "nginx", 0.25),
        ("small page 22 kB, identity, c=32", "nginx", 0.25),
        ("small page 22 kB, identity, c=32", "proxpi", 5.0),
        ("1,000 distinct small pages, gzip, c=32", "nginx", 0.25),
        ("large page 1.4 MB, gzip, c=32", "nginx", 0.25),
        ("large page 1.4 MB, identity, c=32", "nginx", 0.25),
        ("1 MB wheel, c=16", "nginx", 0.5),
    ):
        value = ratio(row, other)
        figures.append(Figure(row, f"{value:.2f} × {other}", f"≥ {bar:g} × {other}", value >= bar))
    errors = sum(each["orchard"].errors for each in results.values())
    figures.append(Figure("errors under warm load", str(errors), "0", errors == 0))
    print_figures("Warm hits: bars", figures)
    return figures


def _print(results: dict[str, dict[str, Measurement]]) -> None:
    print("\n## Warm hits: requests/s (p50 ms / p99 ms)\n")
    names = ("nginx", "orchard", "proxpi", "devpi")
    rows = [("", *names)]
    for row, runs in results.items():
        cells = [
            f"{runs[n].requests_per_second:,.0f} ({runs[n].p50_ms:.2f} / {runs[n].p99_ms:.1f})"
            if n in runs
            else "–"
            for n in names
        ]
        rows.append((row, *cells))
    print_rows(rows)


def warm_up(urls: Sequence[str], headers: dict[str, str] | None = None) -> None:
    """Ask each address twice, so that what is measured is a hit."""
    for url in urls:
        for _ in range(2):
            request = urllib.request.Request(
                url, headers={"Accept": JSON, "Accept-Encoding": "gzip", **(headers or {})}
            )
            with urllib.request.urlopen(request, timeout=60) as answer:
                answer.read()


def _file_url(page_url: str, filename: str) -> str:
    request = urllib.request.Request(page_url, headers={"Accept": JSON})
    with urllib.request.urlopen(request, timeout=30) as answer:
        page = json.loads(answer.read())
    return str(next(entry["url"] for entry in page["files"] if entry["filename"] == filename))
