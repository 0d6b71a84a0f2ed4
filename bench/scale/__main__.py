"""`python -m bench.scale --rows 1e6`: parts of the suite, on so many artifacts, below bench/.work/scale."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from bench.harness.table import print_figures, print_rows
from bench.scale import hits, jobs, times
from bench.scale.stores import installation
from bench.scale.suite import DATA, SMALL_ROWS, job_table, statement_table

PARTS = ("statements", "jobs", "hits")


def main() -> int:
    """Makes what is missing, measures the parts, prints."""
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__)
    parser.add_argument("--rows", type=float, default=1e6, help="artifacts (default 1e6)")
    parser.add_argument("--data", type=Path, default=DATA, help="where the data is kept")
    parser.add_argument("--runs", type=int, default=times.RUNS, help="of each statement")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)} (default: all)")
    options = parser.parse_args()
    parts = options.parts or PARTS
    if unknown := set(parts) - set(PARTS):
        parser.error(f"unknown part {unknown.pop()!r}; there are {', '.join(PARTS)}")
    with installation(options.data, int(options.rows)) as large:
        if "statements" in parts:
            print_rows(
                statement_table(
                    asyncio.run(times.measure(large.postgres.url(), large.sizes, runs=options.runs))
                )
            )
        if "jobs" in parts:
            print_rows(job_table(asyncio.run(jobs.measure(large))))
        if "hits" in parts:
            with installation(options.data, SMALL_ROWS) as small:
                print_figures("Hits", hits.measure(options.data / "run", large, small))
    return 0


if __name__ == "__main__":
    sys.exit(main())
