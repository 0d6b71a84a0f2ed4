"""npm resolutions: a tree of 1,000 packages whose packuments are cached, by an extractor just started and
by a warm one."""

from __future__ import annotations

import json
import time
from pathlib import Path

from bench.harness import load, npm_graph_corpus
from bench.harness.orchard import Orchard, orchard
from bench.harness.requests import ask, cpu_seconds, restart_extractor
from bench.harness.table import Figure

REPEATS = 3
BAR_SECONDS = 3.0
_MOST_SECONDS = 180.0


def run(work: Path, root: Path, upstream: str) -> list[Figure]:
    """The rows of npm with their bar; `upstream` is the static registry's base."""
    print("  writing a graph of npm packages …", flush=True)
    npm_graph_corpus.build(root, upstream)
    depths = iter(range(150, 50, -1))  # each makes another key of the same graph
    fresh: list[float] = []
    warm: list[float] = []
    busy: list[float] = []
    with orchard(
        work / "orchard-npm", upstream=f"{upstream}/simple/", npm_upstream=f"{upstream}/npm/", pin=False
    ) as ours:
        nothing, nodes, folders = _resolve(ours, next(depths))
        for _ in range(REPEATS):
            restart_extractor(ours)
            before = cpu_seconds(ours, "extractor")
            fresh.append(_resolve(ours, next(depths))[0])
            busy.append(cpu_seconds(ours, "extractor") - before)
            warm.append(_resolve(ours, next(depths))[0])
    note = f"{nodes} packages in {folders} folders"
    return [
        Figure("npm, nothing cached", f"{nothing:.2f} s", note=note),
        _at_most(
            "npm, packuments cached, extractor just started",
            load.median(fresh),
            f"{load.median(busy):.2f} s of CPU in the extractor",
        ),
        _at_most("npm, packuments cached, extractor warm", load.median(warm)),
    ]


def _at_most(name: str, seconds: float, note: str = "") -> Figure:
    return Figure(name, f"{seconds:.2f} s", f"≤ {BAR_SECONDS:g} s", seconds <= BAR_SECONDS, note)


def _resolve(ours: Orchard, max_depth: int) -> tuple[float, int, int]:
    """Seconds until the whole graph is there, its packages and their folders."""
    names = [npm_graph_corpus.name(number) for number in range(npm_graph_corpus.ROOTS)]
    body = {"protocol": "npm", "requirements": names, "max_depth": max_depth}
    started = time.perf_counter()
    answer = ask(ours.url("/api/v1/resolve"), json.dumps(body).encode())
    while answer.get("status") == "working" and time.perf_counter() - started < _MOST_SECONDS:
        time.sleep(0.05)
        answer = ask(ours.url(answer["location"]))
    seconds = time.perf_counter() - started
    nodes = answer.get("nodes", ())
    if len(nodes) < npm_graph_corpus.PACKAGES or not answer["complete"]:
        raise RuntimeError(f"the tree was not resolved: {answer!s:.400}")
    return seconds, len(nodes), sum(len(node["locations"]) for node in nodes)
