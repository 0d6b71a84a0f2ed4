"""`python -m bench.wan`: whole resolutions and installs over an emulated link, direct and through Orchard.

Each run of a client, with empty caches: direct over the link; cold, through an Orchard that is empty and
has the link before its upstreams; warm; offline, with the link cut. A run takes four times the client's
direct time and about 10 s; at 50 ms, uv and pip on the small set take about 20 s a run, npm and pnpm 40 s,
mvn 2 minutes: about 15 minutes for everything as it stands below, and three times that for `--set medium`.

By default the clients ask recorded registries: what they asked of this machine's registries the first time,
kept in bench/.work/wan and served over TLS and HTTP/2 on this machine, PyPI with and without core metadata.
With `--upstream registry` every run asks this machine's registries anew.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType

import msgspec

from bench.harness.table import print_rows
from bench.wan.clients import CLIENTS, Client
from bench.wan.measuring import SETS, Options, measure
from bench.wan.report import table

PROXIES = ("http_proxy", "https_proxy", "all_proxy")


def main() -> int:
    """Measure and print; 1 when a client failed, 2 when nothing can be measured."""
    options, as_json = _parse()
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        measured = measure(options)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except RuntimeError as error:
        print(f"nothing could be measured: {error}", file=sys.stderr)
        return 2
    if as_json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(measured), indent=1).decode() + "\n")
    else:
        print_rows(table(measured))
    failures = [f"{each.case.label}: {failure}" for each in measured for failure in each.failures]
    for failure in failures:
        print(f"FAILED {failure}", file=sys.stderr)
    return 1 if failures else 0


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt  # so that every child is ended


def _parse() -> tuple[Options, bool]:
    parser = argparse.ArgumentParser(
        prog="python -m bench.wan", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [client.name for client in CLIENTS]
    text = f"of {', '.join(names)}; uv or pip: both of it (repeatable; default: all)"
    parser.add_argument("--client", action="append", metavar="NAME", help=text)
    text = "of bench/wan/sets.toml (repeatable; default: small)"
    parser.add_argument("--set", action="append", choices=tuple(SETS), help=text)
    text = "round-trip time (repeatable; default: 50)"
    parser.add_argument("--link", action="append", type=float, metavar="MS", help=text)
    parser.add_argument(
        "--megabits", type=float, default=200, metavar="N", help="of the link, per second (200)"
    )
    parser.add_argument("--runs", type=int, default=3, metavar="N", help="of each, interleaved (3)")
    parser.add_argument("--upstream", choices=("recorded", "registry"), default="recorded")
    text = "no run begins after so long (90)"
    parser.add_argument("--minutes", type=float, default=90, metavar="N", help=text)
    parser.add_argument("--json", action="store_true", help="every round instead of the table")
    given = parser.parse_args()
    wanted = given.client or names
    unknown = [name for name in wanted if not _chosen([name])]
    if unknown:
        parser.error(f"unknown client {unknown[0]!r}; there are {', '.join(names)}")
    if set_proxies := [name for name in os.environ if name.lower() in PROXIES and os.environ[name]]:
        parser.error(f"{set_proxies[0]} is set: the emulated link knows no further proxy behind it")
    return (
        Options(
            _chosen(wanted),
            given.set or ["small"],
            given.link or [50],
            given.megabits,
            given.runs,
            given.upstream == "registry",
            given.minutes,
        ),
        given.json,
    )


def _chosen(names: Sequence[str]) -> list[Client]:
    return [each for each in CLIENTS if each.name in names or each.name.split("-")[0] in names]


if __name__ == "__main__":
    sys.exit(main())
