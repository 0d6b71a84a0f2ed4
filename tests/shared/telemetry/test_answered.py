"""The cheap figures of requests say what the library's own would."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from shared.telemetry.answered import Answered

BOUNDS = (0.001, 0.01, 1)


def _labels(protocol: str, result: str) -> tuple[str, str]:
    return protocol if protocol in ("npm", "api") else "other", result


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def answered(registry: CollectorRegistry) -> Answered:
    made = Answered(BOUNDS, _labels)
    registry.register(made)
    return made


def _samples(registry: CollectorRegistry, name: str) -> list[str]:
    lines = generate_latest(registry).decode().splitlines()
    return sorted(line for line in lines if line.startswith(name) and "_created" not in line)


def test_durations__are_those_of_a_histogram(registry: CollectorRegistry, answered: Answered) -> None:
    name = "orchard_http_request_duration_seconds"
    other = CollectorRegistry()
    histogram = Histogram(name, "x", ("protocol", "result"), buckets=BOUNDS, registry=other)
    for seconds in (0.0, 0.001, 0.0011, 0.01, 0.5, 1.0, 1.1, 40.0):
        for status in (200, 304):  # one series whatever the status
            answered.observe("npm", "HIT", status, seconds)
            histogram.labels("npm", "HIT").observe(seconds)
    assert _samples(registry, name) == _samples(other, name)
    assert len(_samples(registry, name)) == len(BOUNDS) + 3


def test_requests__by_class_of_status__unknown_ones_together(
    registry: CollectorRegistry, answered: Answered
) -> None:
    for protocol, status in (("npm", 200), ("npm", 206), ("npm", 404), ("x", 999), ("y", 0)):
        answered.observe(protocol, "MISS", status, 0.1)
    name = "orchard_http_requests_total"
    assert _samples(registry, name) == [
        f'{name}{{protocol="npm",result="MISS",status_class="2xx"}} 2.0',
        f'{name}{{protocol="npm",result="MISS",status_class="4xx"}} 1.0',
        f'{name}{{protocol="other",result="MISS",status_class="other"}} 2.0',
    ]


def test_bytes__saved_where_no_upstream_was_asked__not_those_of_the_api(
    registry: CollectorRegistry, answered: Answered
) -> None:
    for protocol, result in (("npm", "HIT"), ("npm", "MISS"), ("npm", "STALE"), ("api", "HIT")):
        answered.observe(protocol, result, 200, 0.1, 10)
    answered.serve(5, live=True)
    answered.serve(7, live=False)
    assert _samples(registry, "orchard_bytes_saved") == ['orchard_bytes_saved_total{protocol="npm"} 20.0']
    assert _samples(registry, "orchard_bytes_served") == [
        'orchard_bytes_served_total{source="cache"} 7.0',
        'orchard_bytes_served_total{source="live"} 5.0',
    ]
