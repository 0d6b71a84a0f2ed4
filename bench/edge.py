"""Warm rows through the caches of deploy/edge against nginx alone, and how soon a block is in force there.

One process on one core each. nginx alone is `proxy_cache` in front of the same pages and files, without an
Orchard.
"""

from __future__ import annotations

import http.client
import json
import time
import urllib.parse
import urllib.request
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from bench.harness import corpus, edges, load, peers, processes
from bench.harness.load import Measurement
from bench.harness.orchard import Orchard, orchard
from bench.harness.table import Figure, print_figures, print_rows
from bench.warm import warm_up

JSON = "application/vnd.pypi.simple.v1+json"
WHEEL = "w1m-1.0-py3-none-any.whl"
OPERATOR = "operators-token-of-benchmarks-0123"
EDGES = ("varnish", "nginx")
REPEATS = 5
SECONDS = 1.0
LEAST = 0.95  # of nginx alone
SETTLED_SECONDS = 1.2  # a page that was cold is purged once more soon after
BLOCKS = 20
MOST_SECONDS = 1.0

Rows = dict[str, dict[str, Measurement]]


def run(work: Path, root: Path) -> list[Figure]:
    """All rows with Varnish, then with nginx."""
    figures: list[Figure] = []
    for name in EDGES:
        with ExitStack() as stack:
            upstream = stack.enter_context(peers.upstream(work / name / "upstream", root))
            upstream_port = int(upstream.base.rsplit(":", 1)[1])
            alone = stack.enter_context(peers.nginx_cache(work / name / "alone", upstream_port))
            settings: dict[str, Any] = {"edge": "true", "admin_token": OPERATOR, "anonymous_read": "true"}
            port = processes.free_port()
            if name == "varnish":
                settings |= {"edge_purge": f"http://127.0.0.1:{port}", "edge_token": edges.TOKEN}
            ours = stack.enter_context(
                orchard(work / name / "orchard", upstream=f"{upstream.base}/simple/", **settings)
            )
            edge = stack.enter_context(
                edges.varnish(work / name / "edge", port, ours.ports[0])
                if name == "varnish"
                else edges.nginx(work / name / "edge", ours.ports[0])
            )
            rows = _rows(work / name, alone, edge)
            _print(name, rows)
            figures += _figures(name, rows, _lags(ours, edge))
    print_figures("Caches in front: bars", figures)
    return figures


def _rows(work: Path, alone: peers.Peer, edge: str) -> Rows:
    wheels = {"alone": alone.file_url("w1m", WHEEL), "edge": _wheel(edge)}
    gzip, identity = ({"Accept": JSON, "Accept-Encoding": coding} for coding in ("gzip", "identity"))

    def pages(project: str) -> dict[str, str]:
        return {"alone": alone.page_url(project), "edge": f"{edge}/pypi/simple/{project}/"}

    scripts = {
        "alone": load.distinct_script(work / "alone.lua", "/simple/k%04d/", corpus.DISTINCT_PAGES),
        "edge": load.distinct_script(work / "edge.lua", "/pypi/simple/k%04d/", corpus.DISTINCT_PAGES),
    }
    for _ in range(2):
        for number in range(corpus.DISTINCT_PAGES):
            warm_up(list(pages(f"k{number:04d}").values()))
        time.sleep(SETTLED_SECONDS)
    roots = {"alone": alone.base, "edge": edge}
    plan: dict[str, tuple[dict[str, str], dict[str, str], int, bool]] = {
        "small page 22 kB, gzip, c=32": (pages("small"), gzip, 32, False),
        "small page 22 kB, identity, c=32": (pages("small"), identity, 32, False),
        "1,000 distinct small pages, gzip, c=32": (roots, gzip, 32, True),
        "large page 1.4 MB, gzip, c=32": (pages("large"), gzip, 32, False),
        "large page 1.4 MB, identity, c=32": (pages("large"), identity, 32, False),
        "1 MB wheel, c=16": (wheels, identity, 16, False),
    }
    rows: Rows = {}
    for row, (addresses, headers, connections, distinct) in plan.items():
        if not distinct:
            warm_up(list(addresses.values()), headers)
            time.sleep(SETTLED_SECONDS)
            warm_up(list(addresses.values()), headers)
        servers = {
            name: partial(
                load.wrk,
                address,
                connections=connections,
                seconds=SECONDS,
                headers=headers,
                script=scripts[name] if distinct else None,
            )
            for name, address in addresses.items()
        }
        rows[row] = load.interleaved(servers, repeats=REPEATS)
    return rows


def _wheel(edge: str) -> str:
    page = f"{edge}/pypi/simple/w1m/"
    with urllib.request.urlopen(urllib.request.Request(page, headers={"Accept": JSON}), timeout=30) as answer:
        files = json.loads(answer.read())["files"]
    return urllib.parse.urljoin(page, next(str(each["url"]) for each in files if each["filename"] == WHEEL))


# --- how soon ----------------------------------------------------------------------------------------------


def _lags(ours: Orchard, edge: str) -> dict[str, list[float]]:
    """Seconds from the answer of the admin API until the edge answers accordingly, asked without a pause: a
    block of a project's name, for its page and its file, and its lifting."""
    paths = {"page": "/pypi/simple/w1m/", "file": urllib.parse.urlsplit(_wheel(edge)).path}
    lags: dict[str, list[float]] = {"block, page": [], "block, file": [], "lifted, page": []}
    for number in range(BLOCKS):
        for path in paths.values():
            _until(edge, path, 200)
        made = _admin(ours, "POST", "blocks", {"protocol": "pypi", "name": "w1m", "reason": "bench"})
        what = ("page", "file")[number % 2]
        lags[f"block, {what}"].append(_until(edge, paths[what], 403))
        _admin(ours, "DELETE", f"blocks/{made['id']}")
        lags["lifted, page"].append(_until(edge, paths["page"], 200))
        time.sleep(0.037 * (number % 10))  # another moment of nginx's half second
    return lags


def _until(edge: str, path: str, status: int) -> float:
    started = time.monotonic()
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(edge).netloc, timeout=30)
    try:
        while time.monotonic() - started < 30:
            connection.request("GET", path, headers={"Accept": JSON})
            answer = connection.getresponse()
            answer.read()
            if answer.status == status:
                return time.monotonic() - started
    finally:
        connection.close()
    raise RuntimeError(f"{path} did not become {status} within 30 s")


def _admin(ours: Orchard, method: str, path: str, value: object = None) -> dict[str, Any]:
    request = urllib.request.Request(
        ours.url(f"/api/v1/admin/{path}"),
        method=method,
        data=None if value is None else json.dumps(value).encode(),
        headers={"Authorization": f"Bearer {OPERATOR}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return dict(json.loads(answer.read()))


# --- printing ----------------------------------------------------------------------------------------------


def _figures(name: str, rows: Rows, lags: dict[str, list[float]]) -> list[Figure]:
    figures = []
    for row, found in rows.items():
        ratio = found["edge"].requests_per_second / found["alone"].requests_per_second
        bar = f"≥ {LEAST:g} × nginx alone"
        figures.append(Figure(f"{name}: {row}", f"{ratio:.2f} × nginx alone", bar, ratio >= LEAST))
    for what, seconds in lags.items():  # of `BLOCKS`: pages and files in turn
        shown = f"median {load.median(seconds) * 1000:.0f} ms, most {max(seconds) * 1000:.0f} ms"
        figures.append(
            Figure(f"{name}: {what}", shown, f"≤ {MOST_SECONDS:g} s", max(seconds) <= MOST_SECONDS)
        )
    errors = sum(each.errors for found in rows.values() for each in found.values())
    figures.append(Figure(f"{name}: errors", str(errors), "0", errors == 0))
    return figures


def _print(name: str, rows: Rows) -> None:
    print(f"\n## {name} in front: requests/s (p50 ms / p99 ms)\n")
    table = [["", "nginx alone", f"{name} and Orchard"]]
    for row, found in rows.items():
        cells = [
            f"{each.requests_per_second:,.0f} ({each.p50_ms:.2f} / {each.p99_ms:.1f})"
            for each in (found["alone"], found["edge"])
        ]
        table.append([row, *cells])
    print_rows(table)
