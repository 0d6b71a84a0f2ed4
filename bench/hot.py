"""What is hot stays hot: hits that are not the plainest, each against a plain hit of the same thing.

    python -m bench.hot        # or as a part of `make bench ARGS=warm`

One gateway on one core. A request with `Via`, one whose answer is a 304, one in a view, in a build that is
recorded and in a sealed one (its file too), two Hosts in turn on a page with absolute URLs in it, and a page
whose body lies in the object store (1.6 MB) against a file of that size.
"""

from __future__ import annotations

import json
import shutil
import urllib.error
import urllib.parse
import urllib.request
from functools import partial
from pathlib import Path

import msgspec

from bench.harness import corpus, load, npm_corpus, peers, processes
from bench.harness.load import Measurement
from bench.harness.orchard import Orchard, orchard
from bench.harness.table import Figure, print_figures, print_rows

JSON = "application/vnd.pypi.simple.v1+json"
REPEATS = 7
SECONDS = 1.0
LEAST = 0.95  # of the plain hit's rate, unless a row has its own
OWN_LEAST = {"in a build that is recorded, c=32": 0.97}
PLAIN = {"Accept": JSON, "Accept-Encoding": "gzip"}
WHOLE = {"Accept": JSON, "Accept-Encoding": "identity"}
ROWS = {  # row: what it is compared with
    "Via, c=32": "plain hit 22 kB, c=32",
    "304, c=32": "plain hit 22 kB, c=32",
    "304 with Via, c=32": "plain hit 22 kB, c=32",
    "another Host, c=32": "plain hit 22 kB, c=32",
    "in a view, c=32": "plain hit 22 kB, c=32",
    "in a build that is recorded, c=32": "plain hit 22 kB, c=32",
    "in a sealed build, c=32": "plain hit 22 kB, c=32",
    "file in a sealed build, c=16": "file of 1.6 MB, c=16",
    "packument, two Hosts in turn, c=32": "packument, one Host, c=32",
    "304 of a page of 1.6 MB, c=32": "plain hit 22 kB, c=32",
    "page of 1.6 MB, identity, c=16": "file of 1.6 MB, c=16",
}


class Cost(msgspec.Struct):
    """CPU seconds of the gateway, and its requests, of all runs of one row."""

    seconds: float = 0.0
    requests: float = 0.0

    @property
    def each(self) -> float:
        return self.seconds / self.requests if self.requests else float("nan")


def run(work: Path, root: Path) -> list[Figure]:
    """All rows, with an Orchard of their own."""
    with peers.upstream(work / "upstream", root) as upstream:
        npm_corpus.build(root, upstream.base)
        with orchard(
            work / "orchard", upstream=f"{upstream.base}/simple/", npm_upstream=f"{upstream.base}/npm/"
        ) as ours:
            return _measure(work, root, ours)


def _build(ours: Orchard) -> str:
    """The address of a new build."""
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(ours.url("/api/v1/builds"), b"{}", headers, method="POST")
    with urllib.request.urlopen(request, timeout=30) as answer:
        return str(json.load(answer)["base"])


def _sealed(ours: Orchard, *paths: str) -> str:
    """The address of a sealed build that got these."""
    base = _build(ours)
    for path in paths:
        _answer(base + path, PLAIN if path.endswith("/") else WHOLE)
    id = base.rpartition("/v/build-")[2]
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(ours.url(f"/api/v1/builds/{id}/seal"), b"", headers, method="POST")
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert json.load(answer)["state"] == "sealed"
    return base


def _measure(work: Path, root: Path, ours: Orchard) -> list[Figure]:
    small, large = ours.url("/pypi/simple/small/"), ours.url("/pypi/simple/large/")
    size = len(_answer(large, WHOLE)[1])
    corpus.add_wheel(root, f"size{size}", size)
    file = _file_of(ours.url(f"/pypi/simple/size{size}/"))
    sealed = _sealed(ours, "/pypi/simple/small/", file.removeprefix(ours.url("")))
    port = ours.ports[0]
    one, two = ([f"127.0.0.1:{port}", other] for other in (f"127.0.0.1:{port}", f"localhost:{port}"))
    via = {"Via": "1.1 cache.example.com, 1.1 orchard-0123456789abcdef"}
    known, known_large = {"If-None-Match": _etag(small, PLAIN)}, {"If-None-Match": _etag(large, WHOLE)}
    requests = {
        "plain hit 22 kB, c=32": (small, PLAIN, None),
        "Via, c=32": (small, {**PLAIN, **via}, None),
        "304, c=32": (small, {**PLAIN, **known}, None),
        "304 with Via, c=32": (small, {**PLAIN, **known, **via}, None),
        "another Host, c=32": (small, {**PLAIN, "Host": f"localhost:{port}"}, None),
        "in a view, c=32": (ours.url("/v/at-2099-01-01/pypi/simple/small/"), PLAIN, None),
        "in a build that is recorded, c=32": (f"{_build(ours)}/pypi/simple/small/", PLAIN, None),
        "in a sealed build, c=32": (f"{sealed}/pypi/simple/small/", PLAIN, None),
        "file in a sealed build, c=16": (file.replace(ours.url(""), sealed), WHOLE, None),
        "packument, one Host, c=32": (ours.url(""), PLAIN, _hosts_script(work / "one.lua", one)),
        "packument, two Hosts in turn, c=32": (ours.url(""), PLAIN, _hosts_script(work / "two.lua", two)),
        "304 of a page of 1.6 MB, c=32": (large, {**WHOLE, **known_large}, None),
        "page of 1.6 MB, identity, c=16": (large, WHOLE, None),
        "file of 1.6 MB, c=16": (file, WHOLE, None),
    }
    for url, headers, script in requests.values():
        for host in two if script else [headers.get("Host", "")]:
            address = ours.url("/npm/small") if script else url
            for _ in range(4):
                _answer(address, {**headers, "Host": host} if host else headers)
    pids, costs = ours.pids("gateway"), {row: Cost() for row in requests}

    def measure(row: str) -> Measurement:
        url, headers, script = requests[row]
        before, connections = processes.cpu_seconds(pids), int(row.rpartition("=")[2])
        found = load.wrk(url, connections=connections, seconds=SECONDS, headers=headers, script=script)
        costs[row].seconds += processes.cpu_seconds(pids) - before
        costs[row].requests += found.requests_per_second * SECONDS
        return found

    results = load.interleaved({row: partial(measure, row) for row in requests}, repeats=REPEATS)
    _print(results, costs)
    return _figures(results, costs)


def _figures(results: dict[str, Measurement], costs: dict[str, Cost]) -> list[Figure]:
    figures = []
    for row, plain in ROWS.items():
        ratio = results[row].requests_per_second / results[plain].requests_per_second
        cpu = f"CPU {costs[row].each / costs[plain].each:.2f} ×"
        least = OWN_LEAST.get(row, LEAST)
        figures.append(Figure(row, f"{ratio:.2f} × {plain}", f"≥ {least:g} ×", ratio >= least, cpu))
    errors = sum(each.errors for each in results.values())
    figures.append(Figure("errors of hot rows", str(errors), "0", errors == 0))
    print_figures("What is hot stays hot: bars", figures)
    return figures


def _print(results: dict[str, Measurement], costs: dict[str, Cost]) -> None:
    print("\n## What is hot stays hot\n")
    rows = [("", "requests/s", "p50 / p99 ms", "CPU µs each")]
    for row, found in results.items():
        times = f"{found.p50_ms:.2f} / {found.p99_ms:.1f}"
        rows.append((row, f"{found.requests_per_second:,.0f}", times, f"{costs[row].each * 1e6:.1f}"))
    print_rows(rows)


def _hosts_script(path: Path, hosts: list[str]) -> Path:
    """A wrk script that asks for a packument with two Hosts in turn."""
    listed = ", ".join(f'"{host}"' for host in hosts)
    path.write_text(
        f"local hosts, n = {{{listed}}}, 0\n"
        "request = function()\n"
        "  n = 1 - n\n"
        '  wrk.headers["Host"] = hosts[n + 1]\n'
        '  return wrk.format("GET", "/npm/small")\n'
        "end\n"
    )
    return path


def _answer(url: str, headers: dict[str, str]) -> tuple[str, bytes]:
    """ETag and body; of a 304 no body."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=60) as answer:
            return answer.headers.get("ETag", ""), answer.read()
    except urllib.error.HTTPError as error:
        if error.code != 304:
            raise
        return error.headers.get("ETag", ""), b""


def _etag(url: str, headers: dict[str, str]) -> str:
    return _answer(url, headers)[0]


def _file_of(page: str) -> str:
    """The address of the only file of a page."""
    _, body = _answer(page, {"Accept": JSON})
    return urllib.parse.urljoin(page, str(json.loads(body)["files"][0]["url"]))


def main() -> None:
    base = Path(__file__).resolve().parent / ".work"
    corpus.build(base / "corpus")
    work = base / "run" / "hot"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    run(work, base / "corpus")


if __name__ == "__main__":
    main()
