"""An ended job is counted once, under one set of outcome names: metrics agree with what was queued."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import httpx
from prometheus_client.parser import text_string_to_metric_families

from shared.telemetry.metrics import JOB_OUTCOMES
from tests.support.builders import build_wheel, core_metadata
from tests.support.orchard import Cluster, Service, wait_until
from tests.support.upstream import Upstream

Names = Callable[[], str]


def _samples(service: Service, name: str) -> Counter[tuple[str, str]]:
    """A metric's samples by task, and by outcome or result."""
    found: Counter[tuple[str, str]] = Counter()
    text = httpx.get(f"{service.base}/metrics", timeout=10, trust_env=False).text
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == name:
                labels = sample.labels
                found[labels["task"], labels.get("outcome", labels.get("result", ""))] += int(sample.value)
    return found


def _all(orchard: Cluster, name: str) -> Counter[tuple[str, str]]:
    found: Counter[tuple[str, str]] = Counter()
    for service in orchard.services:
        found += _samples(service, name)
    return found


def test_every_job__ends_once_under_a_name_of_the_list_and_starts_as_often_as_it_stops(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    top, needed = project(), project()
    for name, requires in ((top, [needed]), (needed, [])):
        filename = f"{name.replace('-', '_')}-1.0-py3-none-any.whl"
        text = core_metadata(name, "1.0", requires=requires)
        wheel = build_wheel(name, "1.0", metadata=text)
        upstream.add_project(name, {filename: wheel}, metadata={filename: text})
    resolved = httpx.post(
        orchard.url("/api/v1/resolve"), json={"requirements": [top]}, timeout=30, trust_env=False
    )
    assert resolved.status_code == 200, resolved.text
    ensure = orchard.url("/api/v1/ensure")
    kind = {"content-type": "application/toml"}
    begun = httpx.post(
        ensure, content=f"[pypi]\nrequirements = ['{top}']", headers=kind, timeout=30, trust_env=False
    )
    if begun.status_code == 202:
        place = begun.headers["location"]
        wait_until(lambda: orchard.get(place).status_code == 200, seconds=60, what="the end of the ensure")

    def accepted() -> dict[str, int]:
        counts = _all(orchard, "orchard_jobs_enqueued_total").items()
        return {task: count for (task, result), count in counts if result == "accepted" and count}

    def ended() -> dict[str, int]:
        sums: Counter[str] = Counter()
        for (task, outcome), count in _all(orchard, "orchard_job_duration_seconds_count").items():
            sums[task] += count if outcome in ("done", "failed", "dead") else 0
        return {task: count for task, count in sums.items() if count}

    wait_until(lambda: sum(accepted().values()) <= sum(ended().values()), seconds=30, what="the jobs' ends")
    assert {"resolve", "ensure", "fetch_index", "fetch_artifact"} <= set(ended())
    assert ended() == accepted()
    runs = _all(orchard, "orchard_job_duration_seconds_count")
    assert {outcome for _, outcome in runs} <= JOB_OUTCOMES
    starts = _all(orchard, "orchard_job_wait_seconds_count")
    for (task, _), count in starts.items():
        assert count == sum(number for (each, _), number in runs.items() if each == task), task
