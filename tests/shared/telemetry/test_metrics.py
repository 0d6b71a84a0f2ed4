"""Names, bounded labels and base units of the metrics."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from shared.telemetry import metrics

NAMES = [
    "orchard_http_request_duration_seconds",
    "orchard_http_requests",
    "orchard_cache_lookups",
    "orchard_upstream_requests",
    "orchard_upstream_connections",
    "orchard_upstream_connects",
    "orchard_queue_jobs",
    "orchard_queue_oldest_job_age_seconds",
    "orchard_job_wait_seconds",
    "orchard_job_duration_seconds",
    "orchard_miss_wait_seconds",
    "orchard_bytes_served",
    "orchard_upstream_bytes",
    "orchard_bytes_saved",
    "orchard_redis_request_duration_seconds",
    "orchard_redis_connects",
    "orchard_database_wait_seconds",
    "orchard_database_connections",
    "orchard_object_operation_duration_seconds",
    "orchard_object_bytes",
    "orchard_build_info",
]
FORBIDDEN_LABELS = {"project", "package", "version_of_package", "filename", "path", "client", "url"}


def families() -> dict[str, object]:
    body, content_type = metrics.render()
    assert content_type.startswith("text/plain")
    return {family.name: family for family in text_string_to_metric_families(body.decode())}


@pytest.mark.parametrize("name", NAMES)
def test_render__agreed_name__is_there(name: str) -> None:
    assert name in families()


def test_all_metrics__labels__never_a_package() -> None:
    for collector in vars(metrics).values():
        labels = set(getattr(collector, "_labelnames", ()))
        assert not labels & FORBIDDEN_LABELS, collector


def test_all_metrics__names__base_units_and_total_on_counters() -> None:
    body = metrics.render()[0].decode()
    for name, kind in re.findall(r"^# TYPE (orchard_\S+) (\S+)$", body, re.MULTILINE):
        assert not re.search(r"_(ms|millis|kb|mb)(_|$)", name), name
        assert (kind == "counter") == name.endswith("_total"), name


def test_observe_request__unknown_words__count_as_other() -> None:
    def value(protocol: str, result: str, status_class: str) -> float:
        labels = {"protocol": protocol, "result": result, "status_class": status_class}
        return metrics.REGISTRY.get_sample_value("orchard_http_requests_total", labels) or 0.0

    metrics.declare_protocols(["pypi"])
    before = value("pypi", "HIT", "2xx"), value("other", "other", "other")
    metrics.observe_request("pypi", "HIT", 200, 0.001)
    for number in range(50):
        metrics.observe_request(f"made-up-{number}", f"made-up-{number}", 999, 0.001)
    assert (value("pypi", "HIT", "2xx"), value("other", "other", "other")) == (before[0] + 1, before[1] + 50)
    assert "made-up" not in metrics.render()[0].decode()


def test_request_buckets__start_below_a_hit() -> None:
    assert metrics.REQUEST_BUCKETS[0] == 0.0005
    assert list(metrics.REQUEST_BUCKETS) == sorted(metrics.REQUEST_BUCKETS)


def test_declared_metric__is_counted_somewhere() -> None:
    """A name that nothing ever counts is a dashboard's empty panel."""
    root = Path(metrics.__file__).parents[2]
    sources = [*(root / "shared").rglob("*.py"), *(root / "services").rglob("*.py")]
    elsewhere = "\n".join(each.read_text() for each in sources if each != Path(metrics.__file__))
    here = Path(metrics.__file__).read_text()
    for name in re.findall(r"^([A-Z_]+) = (?:Counter|Gauge|Histogram)\(", here, re.MULTILINE):
        helpers = re.findall(rf"^def (\w+)\((?:(?!^def ).)*?\b{name}\b", here, re.MULTILINE | re.DOTALL)
        private = [each for each in helpers if each.startswith("_")]
        helpers += [
            helper
            for each in private
            for helper in re.findall(rf"^def (\w+)\((?:(?!^def ).)*?\b{each}\(", here, re.M | re.S)
        ]
        used = any(re.search(rf"\b{each}\b", elsewhere) for each in (name, *helpers) if each)
        assert used or re.search(rf"^_\w+ = {name}\.", here, re.MULTILINE), name


def test_bytes_saved__only_answers_that_needed_no_upstream__are_counted() -> None:
    def saved() -> float:
        return metrics.REGISTRY.get_sample_value("orchard_bytes_saved_total", {"protocol": "npm"}) or 0.0

    metrics.declare_protocols(["npm"])
    before = saved()
    for result in sorted(metrics.RESULTS):
        metrics.observe_request("npm", result, 200, 0.01, 10)
    assert saved() - before == 10 * len({"HIT", "STALE", "NEGATIVE", "REVALIDATED"})
