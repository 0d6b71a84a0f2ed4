"""`make bench ARGS=wan`: every client on the small set at 50 ms, with the bars of cold and warm."""

from __future__ import annotations

from pathlib import Path

from bench.harness.table import Figure, print_figures, print_rows
from bench.wan.clients import CLIENTS
from bench.wan.measuring import NO_METADATA, Options, measure
from bench.wan.report import Measured, table

MOST_WARM, MOST_COLD, MOST_COLD_BY_RANGES, MOST_BYTES, MOST_SECONDS = 0.25, 1.0, 0.7, 1.5, 3.0
_ONLY_RESOLVE = ("uv-compile", "pip-resolve")


def run(work: Path, root: Path) -> list[Figure]:
    """All rows; the first time, this machine's registries are asked for what is then kept."""
    del work, root  # what was recorded outlives a run
    measured = measure(Options(CLIENTS))
    print_rows(table(measured))
    figures = [figure for each in measured if each.runs for figure in _figures(each)]
    figures += [Figure(each.case.label, "failed", "runs", False) for each in measured if each.failures]
    print_figures("Over a link of 50 ms", figures)
    return figures


def _figures(each: Measured) -> list[Figure]:
    label, python = each.case.label, each.case.client.startswith(("uv", "pip"))
    by_ranges = python and each.case.upstream == NO_METADATA
    cold, warm = each.ratio("cold"), each.ratio("warm")
    most = MOST_COLD_BY_RANGES if by_ranges else MOST_COLD
    slowest = each.median("cold", lambda one: one.slowest)
    figures = [
        Figure(f"{label}, cold", f"{cold:.2f} × direct", f"≤ {most:g} ×", cold <= most),
        Figure(f"{label}, warm", f"{warm:.2f} × direct", f"≤ {MOST_WARM:g} ×", warm <= MOST_WARM),
        Figure(
            f"{label}, slowest request", f"{slowest:.2f} s", f"≤ {MOST_SECONDS:g} s", slowest <= MOST_SECONDS
        ),
    ]
    if each.case.client in _ONLY_RESOLVE:
        direct, through = (each.median(kind, lambda one: one.traffic.received) for kind in ("direct", "cold"))
        more = through / direct
        figures.append(
            Figure(f"{label}, bytes", f"{more:.2f} × direct's", f"≤ {MOST_BYTES:g} ×", more <= MOST_BYTES)
        )
    return figures
