"""`python -m bench.ahead`: cold resolutions over an emulated link, without read-ahead and with it.

Each run of a client, with empty caches, goes through an Orchard that is empty and has the link before its
upstreams: once with ORCHARD_READ_AHEAD=off, once on. Printed: seconds, what came over the link, and how much
of what was fetched ahead was asked for. The registries are the recorded ones of `python -m bench.wan`.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import statistics
import sys
from collections.abc import Callable, Sequence

import msgspec

from bench.harness.table import print_rows
from bench.wan import rounds
from bench.wan.clients import CLIENTS, Client
from bench.wan.link import Quality
from bench.wan.measuring import SETS, WORK, Options, kinds_of, upstreams_of
from bench.wan.proxy import running_proxy
from bench.wan.report import Case
from bench.wan.rounds import Round

HEADINGS = (
    "client", "set", "link", "upstream", "off", "on", "on / off", "upstream MB, off / on", "fetched ahead",
    "asked later", "of it", "fetcher CPU, off / on", "runs",
)  # fmt: skip
DEFAULT = ("uv-compile", "pip-resolve", "npm", "mvn")


class Pair(msgspec.Struct):
    """One run: a round without read-ahead and one with it; how much that fetched, and was asked for."""

    off: Round
    on: Round
    fetched: float
    asked: float


def main() -> int:
    """Measure and print; 1 when a client failed."""
    clients, options = _parse()
    pairs: dict[Case, list[Pair]] = {}
    failures: list[str] = []
    with contextlib.ExitStack() as stack:
        upstreams, names = upstreams_of(stack, options, clients)
        proxy = stack.enter_context(running_proxy(Quality(0.0, 1e9), names))
        stack.callback(shutil.rmtree, WORK / "run", ignore_errors=True)
        cases = [
            (client, Case(client.name, chosen, link, kind))
            for chosen in options.sets
            for link in options.links_ms
            for client in clients
            for kind in kinds_of(client, options)
        ]
        for number in range(options.runs):
            for client, case in cases:
                print(f"  run {number + 1} of {options.runs}: {case.label} …", file=sys.stderr, flush=True)
                quality = Quality(case.link_ms / 1000, options.megabits * 125_000)
                packages = SETS[case.set][client.protocol]
                upstream = upstreams[case.set, case.upstream]
                about = (client, packages, upstream, proxy, quality, WORK / "run")
                try:
                    off, _ = rounds.cold(*about, read_ahead="off")
                    on, metrics = rounds.cold(*about)
                except rounds.Failure as failure:
                    failures.append(f"{case.label}: {failure}")
                    continue
                fetched, asked = (
                    metrics.get(f"orchard_ahead_{what}_total", 0.0) for what in ("fetched", "asked")
                )
                pairs.setdefault(case, []).append(Pair(off, on, fetched, asked))
    print_rows([HEADINGS, *(_row(case, found) for case, found in pairs.items())])
    for failure in failures:
        print(f"FAILED {failure}", file=sys.stderr)
    return 1 if failures else 0


def _row(case: Case, pairs: Sequence[Pair]) -> Sequence[str]:
    def median(read: Callable[[Pair], float]) -> float:
        return statistics.median(map(read, pairs))

    off, on = median(lambda each: each.off.seconds), median(lambda each: each.on.seconds)
    before, after = (
        median(lambda each: each.off.traffic.received) / 1e6,
        median(lambda each: each.on.traffic.received) / 1e6,
    )
    fetched, asked = median(lambda each: each.fetched), median(lambda each: each.asked)
    spent = (median(lambda each: each.off.cpu["fetcher"]), median(lambda each: each.on.cpu["fetcher"]))
    return (
        case.client,
        case.set,
        f"{case.link_ms:g} ms",
        case.upstream,
        f"{off:.2f} s",
        f"{on:.2f} s",
        f"{on / off:.2f} ×",
        f"{before:.2f} / {after:.2f} ({after / before - 1:+.0%})",
        f"{fetched:.0f}",
        f"{asked:.0f}",
        f"{asked / fetched:.2f}" if fetched else "–",
        f"{spent[0]:.2f} / {spent[1]:.2f} s",
        f"{len(pairs)}",
    )


def _parse() -> tuple[list[Client], Options]:
    parser = argparse.ArgumentParser(
        prog="python -m bench.ahead",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = [client.name for client in CLIENTS]
    text = f"of {', '.join(names)} (repeatable; default: {', '.join(DEFAULT)})"
    parser.add_argument("--client", action="append", choices=names, metavar="NAME", help=text)
    text = "of bench/wan/sets.toml (repeatable; default: small)"
    parser.add_argument("--set", action="append", choices=tuple(SETS), help=text)
    text = "round-trip time (repeatable; default: 50)"
    parser.add_argument("--link", action="append", type=float, metavar="MS", help=text)
    parser.add_argument("--megabits", type=float, default=200, metavar="N", help="of the link (200)")
    parser.add_argument("--runs", type=int, default=3, metavar="N", help="of each, interleaved (3)")
    given = parser.parse_args()
    chosen = [each for each in CLIENTS if each.name in (given.client or DEFAULT)]
    for client in chosen:
        if not client.there:
            print(f"  {client.needs} is not installed: {client.name} is left out", file=sys.stderr)
    clients = [each for each in chosen if each.there]
    return clients, Options(clients, given.set or ["small"], given.link or [50], given.megabits, given.runs)


if __name__ == "__main__":
    sys.exit(main())
