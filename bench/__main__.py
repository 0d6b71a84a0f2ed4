"""`make bench`: Orchard beside nginx proxy_cache, proxpi and devpi, every bar with its figure.

Ratios within one run are what counts; absolute rates move with the machine.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from bench import (
    clients,
    cold,
    cold_pages,
    edge,
    index_memory,
    ledger,
    maven,
    npm,
    pools,
    resolution,
    rules,
    s3,
    scaling,
    strangers,
    warm,
)
from bench.harness import corpus, peers
from bench.harness.table import Figure, print_figures
from bench.replays import suite as replays
from bench.scale import suite as scale
from bench.wan import suite as wan

SUITES: dict[str, Callable[[Path, Path], list[Figure]]] = {
    "warm": warm.run,
    "cold": cold.run,
    "cold-pages": cold_pages.run,
    "index-memory": index_memory.run,
    "clients": clients.run,
    "pools": pools.run,
    "s3": s3.run,
    "npm": npm.run,
    "maven": maven.run,
    "resolution": resolution.run,
    "replays": replays.run,
    "scale": scale.run,
    "ledger": ledger.run,
    "rules": rules.run,
    "scaling": scaling.run,
    "edge": edge.run,
    "strangers": strangers.run,
    "wan": wan.run,
}
ONLY_NAMED = ("edge", "replays", "scale", "wan")
"""Varnish is needed; this machine's registries are asked; 12 GB; and again the registries."""


def main() -> int:
    """Run the chosen suites; exit 1 when a bar is missed and --strict was given."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "suites",
        nargs="*",
        metavar="SUITE",
        help=f"of {', '.join(SUITES)} (default: all but {', '.join(ONLY_NAMED)})",
    )
    parser.add_argument("--strict", action="store_true", help="exit 1 when a bar is missed")
    options = parser.parse_args()
    unknown = [name for name in options.suites if name not in SUITES]
    if unknown:
        parser.error(f"unknown suite {unknown[0]!r}; there are {', '.join(SUITES)}")
    if shutil.which("wrk") is None or not (shutil.which("nginx") or Path("/usr/sbin/nginx").exists()):
        print("make bench needs Debian's packages nginx and wrk (apt-get install nginx wrk)", file=sys.stderr)
        return 2
    base = Path(__file__).resolve().parent / ".work"
    peers.install()
    print("  building the upstream's files (once) …", flush=True)
    corpus.build(base / "corpus")
    figures: list[Figure] = []
    for name in options.suites or [each for each in SUITES if each not in ONLY_NAMED]:
        print(f"\n# {name}", flush=True)
        work = base / "run" / name
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        figures += SUITES[name](work, base / "corpus")
    barred = [figure for figure in figures if figure.met is not None]
    missed = [figure for figure in barred if not figure.met]
    print_figures("Summary", barred)
    print(f"{len(barred) - len(missed)} of {len(barred)} bars met")
    return 1 if missed and options.strict else 0


if __name__ == "__main__":
    sys.exit(main())
