"""`make bench ARGS=replays`: all projects, and what recording costs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.harness.table import Figure, print_figures, print_rows
from bench.replays import cost, replaying
from bench.replays.places import namespaces, recording
from bench.replays.projects import PROJECTS, Project


def run(work: Path, root: Path) -> list[Figure]:
    """All of it; this machine's registries are asked."""
    del root
    if not namespaces():
        return [Figure("replays", "left out: no network namespaces can be made here")]
    figures = measure(work, PROJECTS, cost.RUNS)
    print_figures("Builds again", figures)
    return figures


def measure(work: Path, projects: Sequence[Project], runs: int, *, again: bool = True) -> list[Figure]:
    """These projects built again, if asked for; then what recording them costs by so many runs (0: none)."""
    figures: list[Figure] = []
    with recording(work / "recording") as place:
        if again:
            rows, figures = replaying.run(projects, place, work)
            print_rows(rows)
        if runs:
            figures += cost.run(projects, place, work / "cost", runs)
    return figures
