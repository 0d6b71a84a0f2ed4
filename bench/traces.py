"""What traces cost: a page from memory without them, with none of it sampled, and with all of it, in turn.

    python -m bench.traces

CPU of the gateway for each hit, the least of the runs: what other load disturbs least. Then the parts that
every job and request to an upstream pays where no collector is set.
"""

from __future__ import annotations

import shutil
import sys
import threading
import timeit
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from bench.harness import corpus, load, peers, processes
from bench.harness.orchard import orchard
from bench.harness.table import Figure, print_figures
from shared.telemetry import tracing

REPEATS = 7
SECONDS = 2.0
PAGE = {"Accept": "application/vnd.pypi.simple.v1+json"}
CALLS = 1_000_000


def run(work: Path, root: Path) -> list[Figure]:
    """CPU of a hit, and of what is off."""
    with peers.upstream(work / "upstream", root) as upstream, ExitStack() as stack:
        collector = stack.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), _Taker))
        threading.Thread(target=collector.serve_forever, daemon=True).start()
        stack.callback(collector.shutdown)
        endpoint = f"http://127.0.0.1:{collector.server_address[1]}"
        kinds: dict[str, dict[str, object]] = {
            "off": {},
            "on, none sampled": {"otlp_endpoint": endpoint, "trace_share": 0},
            "on, all sampled": {"otlp_endpoint": endpoint, "trace_share": 1},
        }
        runs: dict[str, Callable[[], load.Measurement]] = {}
        costs: dict[str, list[float]] = {}
        for name, settings in kinds.items():
            folder = work / name.replace(", ", "-").replace(" ", "-")
            one = stack.enter_context(orchard(folder, upstream=f"{upstream.base}/simple/", **settings))
            url = one.url("/pypi/simple/small/")
            for _ in range(4):
                urllib.request.urlopen(urllib.request.Request(url, headers=PAGE)).read()
            runs[name] = partial(_measure, url, one.pids("gateway"), costs.setdefault(name, []))
        found = load.interleaved(runs, repeats=REPEATS)
    figures = [
        Figure(
            f"hit, traces {name}",
            f"{min(costs[name]):.1f} µs CPU",
            note=f"{found[name].requests_per_second:,.0f}/s",
        )
        for name in kinds
    ]
    assert not tracing.is_on()
    for what, call in (
        ("a job put in", tracing.traceparent),
        ("a job run", tracing.is_on),
        ("a request to an upstream", partial(tracing.begin, "GET main", tracing.CLIENT)),
    ):
        seconds = min(timeit.repeat(call, number=CALLS, repeat=5)) / CALLS
        figures.append(Figure(f"{what}, traces off", f"{seconds * 1e6:.2f} µs"))
    print_figures("Traces: what they cost", figures)
    return figures


class _Taker(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def _measure(url: str, pids: list[int], costs: list[float]) -> load.Measurement:
    before = processes.cpu_seconds(pids)
    found = load.wrk(url, connections=32, seconds=SECONDS, headers=PAGE)
    costs.append((processes.cpu_seconds(pids) - before) / max(1.0, found.requests_per_second * SECONDS) * 1e6)
    return found


def main() -> int:
    """Run it by itself."""
    base = Path(__file__).resolve().parent / ".work"
    root, work = base / "corpus", base / "run" / "traces"
    corpus.build(root)
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    run(work, root)
    return 0


if __name__ == "__main__":
    sys.exit(main())
