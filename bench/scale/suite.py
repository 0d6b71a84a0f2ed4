"""`make bench ARGS=scale`: a large installation, and what does not grow with it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from bench.harness.table import Figure, print_figures, print_rows
from bench.scale import hits, jobs, times
from bench.scale.jobs import Cost
from bench.scale.stores import installation
from bench.scale.times import Times

ROWS = 10_000_000
SMALL_ROWS = 20_000
MOST_MS = 100.0
MOST_SHARE = 0.05
DATA = Path(__file__).resolve().parents[1] / ".work" / "scale"


def run(work: Path, root: Path) -> list[Figure]:
    """All rows. The data is kept below bench/.work/scale: 10⁷ artifacts take 12 GB and half an hour the first
    time. BENCH_SCALE_ROWS makes another number of them."""
    del root
    rows = int(os.environ.get("BENCH_SCALE_ROWS", ROWS))
    with installation(DATA, rows) as large:
        statements = asyncio.run(times.measure(large.postgres.url(), large.sizes))
        costs = asyncio.run(jobs.measure(large))
        with installation(DATA, SMALL_ROWS) as small:
            figures = hits.measure(work, large, small)
    print(f"\n## {rows:,} artifacts: statements\n")
    print_rows(statement_table(statements))
    print(f"## {rows:,} artifacts: periodic work\n")
    print_rows(job_table(costs))
    figures = [*_statement_figures(statements), *map(_job_figure, costs), *figures]
    print_figures(f"Scale: {rows:,} artifacts", figures)
    return figures


def statement_table(found: list[Times]) -> list[tuple[str, ...]]:
    """The slowest first."""
    rows: list[tuple[str, ...]] = [("statement", "median ms", "most ms", "rows read", "tables read whole")]
    for each in found:
        name = each.name.rpartition(".")[2]
        rows.append(
            (
                name,
                f"{each.median_ms:.1f}",
                f"{each.most_ms:.1f}",
                f"{each.looked_at:,}",
                ", ".join(each.scans),
            )
        )
    return rows


def job_table(found: list[Cost]) -> list[tuple[str, ...]]:
    """With statements and commands for each 1,000 objects."""
    heading = ("work", "seconds", "CPU s", "% of a core", "objects", "statements / 1,000", "commands / 1,000")
    return [
        heading,
        *(
            (
                each.name, f"{each.seconds:.2f}", f"{each.cpu_seconds:.2f}", f"{100 * each.share:.2f}",
                f"{each.objects:,}", f"{each.each_thousand(each.statements):.1f}",
                f"{each.each_thousand(each.commands):.1f}",
            )
            for each in found
        ),
    ]  # fmt: skip


def _statement_figures(found: list[Times]) -> list[Figure]:
    slow = [each for each in found if each.most_ms > MOST_MS]
    slowest = found[0]
    named = ", ".join(each.name.rpartition(".")[2] for each in slow)
    return [
        Figure(
            f"{len(found)} statements, the slowest", f"{slowest.most_ms:.0f} ms", f"≤ {MOST_MS:g} ms",
            not slow, named or slowest.name.rpartition(".")[2],
        )
    ]  # fmt: skip


def _job_figure(each: Cost) -> Figure:
    share, met = f"{100 * each.share:.2f} % of a core", each.share <= MOST_SHARE
    return Figure(each.name, share, f"≤ {100 * MOST_SHARE:g} %", met, f"{each.seconds:.1f} s a turn")
