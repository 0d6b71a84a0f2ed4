"""Resolutions: a graph whose documents are all cached, by an extractor just started and by a warm one;
and kept answers beside index pages."""

from __future__ import annotations

import json
import time
import urllib.parse
import urllib.request
from functools import partial
from pathlib import Path

from bench import resolution_npm
from bench.harness import graph_corpus, load, peers
from bench.harness.orchard import Orchard, orchard
from bench.harness.requests import ask, restart_extractor
from bench.harness.table import Figure, print_figures

REPEATS = 3
SECONDS = 3.0
JSON = "application/vnd.pypi.simple.v1+json"
_MOST_SECONDS = 120.0


def run(work: Path, root: Path) -> list[Figure]:
    """All resolution rows; returns the figures that have bars."""
    print("  building a graph of projects (once) …", flush=True)
    graph_corpus.build(root)
    depths = iter(range(150, 50, -1))  # each makes another key of the same graph
    with peers.upstream(work / "upstream", root) as upstream:
        simple = f"{upstream.base}/simple/"
        data = work / "orchard"
        fresh = []
        warm = []
        with orchard(data, upstream=simple, pin=False) as ours:
            nothing = _resolve(ours, next(depths))
            for _ in range(REPEATS):
                restart_extractor(ours)
                fresh.append(_resolve(ours, next(depths)))
                warm += [_resolve(ours, next(depths)) for _ in range(REPEATS)]
        with orchard(data, upstream=simple) as ours:
            rates, latency = _kept(ours)
        npm = resolution_npm.run(work, root, upstream.base)
    figures = [
        Figure(f"{graph_corpus.NODES} nodes, nothing cached", f"{nothing:.2f} s", "", None),
        _at_most("documents cached, extractor just started", load.median(fresh), 1.0),
        _at_most("documents cached, extractor warm", load.median(warm), 1.0),
        Figure("kept answer, c=1, p50", f"{latency:.2f} ms", "≤ 5 ms", latency <= 5),
        Figure("kept answer, c=32", f"{rates:.2f} × index hit", "≥ 0.5 × index hit", rates >= 0.5),
        *npm,
    ]
    print_figures("Resolution", figures)
    return figures


def _at_most(name: str, seconds: float, bar: float) -> Figure:
    return Figure(name, f"{seconds:.2f} s", f"≤ {bar:g} s", seconds <= bar)


def _resolve(ours: Orchard, max_depth: int) -> float:
    """Seconds until the whole graph is there."""
    body = {"requirements": [graph_corpus.name(n) for n in range(graph_corpus.ROOTS)], "max_depth": max_depth}
    started = time.perf_counter()
    answer = ask(ours.url("/api/v1/resolve"), json.dumps(body).encode())
    while answer.get("status") == "working" and time.perf_counter() - started < _MOST_SECONDS:
        time.sleep(0.05)
        answer = ask(ours.url(answer["location"]))
    seconds = time.perf_counter() - started
    if len(answer.get("nodes", ())) < graph_corpus.NODES or not answer["complete"]:
        raise RuntimeError(f"the graph was not resolved: {answer!s:.400}")
    return seconds


def _kept(ours: Orchard) -> tuple[float, float]:
    """Rate of a kept answer over that of an index page of about its size, and its latency in ms."""
    page = ours.url("/pypi/simple/groot/")
    headers = {"Accept": JSON, "Accept-Encoding": "identity"}
    with urllib.request.urlopen(urllib.request.Request(page, headers=headers), timeout=60) as reply:
        file = json.load(reply)["files"][0]
    with urllib.request.urlopen(urllib.parse.urljoin(page, file["url"]), timeout=60) as reply:
        reply.read()
    kept = ours.url(f"/api/v1/artifacts/{file['hashes']['sha256']}/resolution")
    answer = ask(kept)
    while answer.get("status") == "working":
        time.sleep(0.2)
        answer = ask(kept)
    index = ours.url(f"/pypi/simple/{graph_corpus.name(0)}/")
    urllib.request.urlopen(urllib.request.Request(index, headers=headers), timeout=60).read()
    addresses = {"kept": kept, "index": index}
    results = load.interleaved(
        {
            each: partial(load.wrk, url, connections=32, seconds=SECONDS, headers=headers)
            for each, url in addresses.items()
        },
        repeats=REPEATS,
    )
    single = load.wrk(kept, connections=1, seconds=SECONDS, headers=headers)
    for each, result in results.items():
        print(f"  {each}: {result.requests_per_second:,.0f}/s, {result.bytes_per_second / 1e6:,.0f} MB/s")
        if result.errors:
            raise RuntimeError(f"{each}: {result.errors} errors")
    return results["kept"].requests_per_second / results["index"].requests_per_second, single.p50_ms
