"""`python -m bench.time_machine`: what is resolved through `/v/at-DATE/` beside what was to be had that day.

An Orchard of its own in front of this machine's registries; one client at a time, each page asked upstream
once. Oracles: uv's `--exclude-newer` and npm's `--before` through the plain addresses of the same Orchard;
for Maven the repository cut by the upload date of each version. Every difference is printed with what the
plain pages say of it. Exits 1 when fewer than 95 % of the roots are equal.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.harness.orchard import orchard
from bench.harness.table import print_rows
from bench.harness.work_folders import work_folder
from bench.time_machine import compared, maven, npm, pypi
from bench.time_machine.compared import Compared
from shared.default_upstreams import default_upstream

Compare = Callable[[str, Sequence[str], Sequence[str], Path], Iterator[Compared]]

DATES = {
    "pypi": ("2023-06-01", "2024-12-01", "2026-06-01"),
    "npm": ("2025-06-01", "2026-01-01", "2026-09-01"),  # this machine's registry dates nothing before 2024
    "maven": ("2023-06-01", "2024-12-01", "2026-06-01"),
}
COMPARISONS: dict[str, tuple[Compare, Sequence[str]]] = {
    "pypi": (pypi.compare, pypi.ROOTS),
    "npm": (npm.compare, npm.ROOTS),
    "maven": (maven.compare, maven.ROOTS),
}
BAR = 0.95
TTL_SECONDS = 86_400  # both sides see the same pages


def main() -> int:
    """Print each root, then the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.time_machine", description=__doc__)
    parser.add_argument("roots", nargs="*", metavar="ROOT", help="default: lists of well-known ones")
    parser.add_argument("--protocol", choices=tuple(COMPARISONS), help="this one alone")
    parser.add_argument("--dates", nargs="+", metavar="YYYY-MM-DD", help="the beginning of each day in UTC")
    parser.add_argument("--keep", action="store_true", help="keep the Orchard's folder and log")
    options = parser.parse_args()
    if options.roots and not options.protocol:
        parser.error("roots of which protocol?")
    rows: list[Sequence[str]] = [compared.HEADINGS]
    good = True
    with _running(keep=options.keep) as (base, work):
        for protocol in [options.protocol] if options.protocol else COMPARISONS:
            compare, roots = COMPARISONS[protocol]
            moments = [f"{date}T00:00:00Z" for date in options.dates or DATES[protocol]]
            found: dict[str, list[Compared]] = {moment: [] for moment in moments}
            for one in compare(base, moments, options.roots or roots, work / protocol):
                compared.show(one)
                found[one.moment].append(one)
            for moment in moments:
                rows.append(compared.row(protocol, moment, found[moment]))
                good = good and compared.share(found[moment]) >= BAR
    print_rows(rows)
    return 0 if good else 1


@contextmanager
def _running(*, keep: bool) -> Iterator[tuple[str, Path]]:
    """An Orchard's address and a folder to work in."""
    upstreams = {name: default_upstream(name, {}, 0)[0] for name in ("pypi", "npm", "maven")}
    with (
        work_folder("time-machine", keep=keep) as work,
        orchard(
            work / "data",
            upstream=upstreams["pypi"],
            pin=False,
            npm_upstream=upstreams["npm"],
            maven_upstream=upstreams["maven"],
            cache_ttl_index=TTL_SECONDS,
        ) as server,
    ):
        yield server.url(""), work


if __name__ == "__main__":
    sys.exit(main())
