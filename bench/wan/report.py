"""From rounds to one table: medians, Orchard's as multiples of direct."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

import msgspec

from bench.wan.rounds import Round

HEADINGS = (
    "client", "set", "link", "upstream", "direct", "cold", "warm", "offline",
    "upstream MB, direct / cold", "connections, direct / cold", "slowest request, cold", "runs",
)  # fmt: skip


class Case(msgspec.Struct, frozen=True):
    """What is measured: a client on a set, over a link, against registries of a kind."""

    client: str
    set: str
    link_ms: float
    upstream: str

    @property
    def label(self) -> str:
        return f"{self.client}, {self.set}, {self.link_ms:g} ms, {self.upstream}"


class Measured(msgspec.Struct):
    """The runs of one case, each with its rounds by kind; what failed."""

    case: Case
    runs: list[dict[str, Round]] = []
    failures: list[str] = []

    def median(self, kind: str, read: Callable[[Round], float]) -> float:
        """Of all runs; NaN where there is none."""
        seen = [read(run[kind]) for run in self.runs]
        return statistics.median(seen) if seen else float("nan")

    def ratio(self, kind: str) -> float:
        """Median seconds of a kind over those of direct."""
        return self.median(kind, _seconds) / self.median("direct", _seconds)


def table(measured: Sequence[Measured]) -> list[Sequence[str]]:
    """Headings and one row a case."""
    return [HEADINGS, *(_row(each) for each in measured)]


def _row(each: Measured) -> Sequence[str]:
    case = each.case
    named = (case.client, case.set, f"{case.link_ms:g} ms", case.upstream)
    runs = f"{len(each.runs)}" + (f", {len(each.failures)} failed" if each.failures else "")
    if not each.runs:
        return (*named, *("–" for _ in range(len(HEADINGS) - len(named) - 1)), runs)
    return (
        *named,
        f"{each.median('direct', _seconds):.2f} s",
        *(f"{each.ratio(kind):.2f} ×" for kind in ("cold", "warm", "offline")),
        " / ".join(f"{each.median(kind, _megabytes):.1f}" for kind in ("direct", "cold")),
        " / ".join(f"{each.median(kind, _connections):.0f}" for kind in ("direct", "cold")),
        f"{each.median('cold', _slowest):.2f} s",
        runs,
    )


def _seconds(each: Round) -> float:
    return each.seconds


def _megabytes(each: Round) -> float:
    return each.traffic.received / 1e6


def _connections(each: Round) -> float:
    return each.traffic.connections


def _slowest(each: Round) -> float:
    return each.slowest
