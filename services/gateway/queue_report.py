"""The figures of the queues as people, KEDA and the page `/ui/queues` read them.

Paths such as `queues.index.ready` and `scaling.fetcher.ready` are stable: autoscalers name them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from shared.clients.queue_format import QueueDepth
from shared.clients.queue_rates import QueueRates
from shared.jobs import ARTIFACT, EXTRACT, INDEX, RESOLVE

SCALED_BY: Mapping[str, tuple[str, ...]] = {"fetcher": (INDEX, ARTIFACT), "extractor": (EXTRACT, RESOLVE)}
"""The queues whose waiting jobs call for more of a service. `refresh` does not: it is shed first."""


class QueueWindow(msgspec.Struct, frozen=True):
    """What happened over a window that ends now. Times are means over the jobs of the window, in seconds;
    0 when there were none."""

    enqueued_per_second: float
    finished_per_second: float
    failed_per_second: float
    retried_per_second: float
    wait_seconds: float  # from due to started
    run_seconds: float  # from started to ended
    longest_wait_seconds: float
    longest_run_seconds: float


class QueueFigures(msgspec.Struct, frozen=True):
    """One queue, or all of them together."""

    ready: int  # due, waiting for a slot
    running: int
    deferred: int  # due later
    dead: int  # given up, kept for a person to look at
    oldest_age_seconds: float  # how long the first ready job has been due
    last_minute: QueueWindow
    last_five_minutes: QueueWindow


class ScalingFigures(msgspec.Struct, frozen=True):
    """What an autoscaler of one service asks for."""

    ready: int
    oldest_age_seconds: float


class QueueReport(msgspec.Struct, frozen=True):
    """The body of `GET /api/v1/queues`."""

    at: float  # unix seconds at which it was read
    queues: dict[str, QueueFigures]
    total: QueueFigures
    scaling: dict[str, ScalingFigures]  # by service


def compose(
    at: float, depths: Mapping[str, QueueDepth], rates: Mapping[str, Sequence[QueueRates]]
) -> QueueReport:
    """The report of what was read at one moment."""
    return QueueReport(
        at=round(at, 3),
        queues={name: _figures([depth], [rates[name]]) for name, depth in depths.items()},
        total=_figures(depths.values(), rates.values()),
        scaling={
            service: ScalingFigures(
                ready=sum(depths[name].ready for name in names),
                oldest_age_seconds=round(max(depths[name].oldest_age_seconds for name in names), 3),
            )
            for service, names in SCALED_BY.items()
        },
    )


def _figures(depths: Iterable[QueueDepth], rates: Iterable[Sequence[QueueRates]]) -> QueueFigures:
    known = list(depths)
    minute, five_minutes = zip(*rates, strict=True)
    return QueueFigures(
        ready=sum(each.ready for each in known),
        running=sum(each.running for each in known),
        deferred=sum(each.deferred for each in known),
        dead=sum(each.dead for each in known),
        oldest_age_seconds=round(max(each.oldest_age_seconds for each in known), 3),
        last_minute=_window(minute),
        last_five_minutes=_window(five_minutes),
    )


def _window(rates: Sequence[QueueRates]) -> QueueWindow:
    seconds = rates[0].seconds
    started = sum(each.started for each in rates)
    ended = sum(each.finished + each.failed + each.dead for each in rates)
    return QueueWindow(
        enqueued_per_second=round(sum(each.enqueued for each in rates) / seconds, 3),
        finished_per_second=round(sum(each.finished for each in rates) / seconds, 3),
        failed_per_second=round(sum(each.failed + each.dead for each in rates) / seconds, 3),
        retried_per_second=round(sum(each.retried for each in rates) / seconds, 3),
        wait_seconds=round(sum(each.wait_seconds for each in rates) / max(1, started), 6),
        run_seconds=round(sum(each.run_seconds for each in rates) / max(1, ended), 6),
        longest_wait_seconds=round(max(each.longest_wait_seconds for each in rates), 6),
        longest_run_seconds=round(max(each.longest_run_seconds for each in rates), 6),
    )
