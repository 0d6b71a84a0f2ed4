"""Figures of answered requests, so cheap to add to that a hit can afford it.

A Counter or a Histogram of the library takes about half a microsecond for each addition (its checks, its
lock), and a hit has five. Here they are plain numbers, made into the same metrics at a scrape. One thread
adds: the event loop's.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import msgspec
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

SAVED = frozenset({"HIT", "STALE", "NEGATIVE", "REVALIDATED"})  # answers that no upstream was asked for


_COUNTED = SAVED | {"LIVE", "MISS"}  # a refusal and a redirect needed neither cache nor upstream
_NO_PROTOCOLS = frozenset({"api", "other"})


class _Row:
    """The figures of one combination of labels."""

    __slots__ = ("buckets", "seconds", "size")

    def __init__(self, buckets: int) -> None:
        self.buckets = [0] * (buckets + 1)  # requests by duration, not cumulated
        self.seconds = 0.0
        self.size = 0  # bytes of bodies


class Totals(msgspec.Struct, frozen=True):
    """Of one protocol since this process began. Saved: no upstream was asked for it."""

    requests: int = 0
    saved_requests: int = 0
    size_bytes: int = 0
    saved_bytes: int = 0


class Answered(Collector):
    """Four metrics of one process: requests, their durations, bytes served, bytes saved."""

    def __init__(self, buckets: Sequence[float], label: Callable[[str, str], tuple[str, str]]) -> None:
        """`buckets`: upper bounds in seconds. `label`: the bounded labels of a protocol and a result."""
        self._bounds = tuple(buckets)
        self._label = label
        self._rows: dict[tuple[str, str, int], _Row] = {}
        self._served = {"cache": 0, "live": 0}

    def observe(self, protocol: str, result: str, status: int, seconds: float, size_bytes: int = 0) -> None:
        """Count one answered request and its body. Unknown protocols and results count as "other"."""
        row = self._rows.get((protocol, result, status // 100))
        if row is None:
            row = self._row(protocol, result, status)
        row.buckets[bisect_left(self._bounds, seconds)] += 1
        row.seconds += seconds
        row.size += size_bytes

    def serve(self, size_bytes: int, *, live: bool) -> None:
        """Count body bytes sent to a client."""
        self._served["live" if live else "cache"] += size_bytes

    def totals(self) -> dict[str, Totals]:
        """By protocol; answers to Orchard's own questions and redirects are no package requests."""
        sums: dict[str, list[int]] = {}
        for (protocol, result, _), row in list(self._rows.items()):
            if result in _COUNTED and protocol not in _NO_PROTOCOLS:
                count, saved = sum(row.buckets), result in SAVED
                found = sums.setdefault(protocol, [0, 0, 0, 0])
                for place, number in enumerate((count, count * saved, row.size, row.size * saved)):
                    found[place] += number
        return {protocol: Totals(*found) for protocol, found in sums.items()}

    def _row(self, protocol: str, result: str, status: int) -> _Row:
        key = (*self._label(protocol, result), status // 100 if 100 <= status < 600 else 0)
        return self._rows.setdefault(key, _Row(len(self._bounds)))

    def collect(self) -> Iterable[Metric]:
        durations = HistogramMetricFamily(
            "orchard_http_request_duration_seconds",
            "Time from the request's head to its last byte.",
            labels=("protocol", "result"),
        )
        requests = CounterMetricFamily(
            "orchard_http_requests_total",
            "Requests answered, by what X-Cache said.",
            labels=("protocol", "result", "status_class"),
        )
        served = CounterMetricFamily(
            "orchard_bytes_served_total",
            "Body bytes sent to clients: from the cache, or live from a download in progress.",
            labels=("source",),
        )
        saved = CounterMetricFamily(
            "orchard_bytes_saved_total",
            "Body bytes of answers that no upstream was asked for: HIT, STALE, NEGATIVE or REVALIDATED.",
            labels=("protocol",),
        )
        by_result: dict[tuple[str, str], list[_Row]] = {}
        by_protocol: Counter[str] = Counter()
        for (protocol, result, digit), row in list(self._rows.items()):
            requests.add_metric((protocol, result, f"{digit}xx" if digit else "other"), sum(row.buckets))
            by_result.setdefault((protocol, result), []).append(row)
            if result in SAVED and protocol != "api":  # whose answers come from no upstream anyway
                by_protocol[protocol] += row.size
        for labels, rows in by_result.items():
            counts = [sum(each) for each in zip(*(row.buckets for row in rows), strict=True)]
            bounds = [*(str(float(bound)) for bound in self._bounds), "+Inf"]
            total = 0
            cumulated = [(bound, total := total + count) for bound, count in zip(bounds, counts, strict=True)]
            durations.add_metric(labels, cumulated, sum(row.seconds for row in rows))
        for protocol, size in by_protocol.items():
            saved.add_metric((protocol,), size)
        for source, size in self._served.items():
            served.add_metric((source,), size)
        return durations, requests, served, saved
