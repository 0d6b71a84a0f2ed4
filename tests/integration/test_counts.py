"""What a hit costs: no SQL, no upstream request, no job. What health and metrics show."""

from __future__ import annotations

from collections.abc import Callable

from tests.support.builders import build_wheel
from tests.support.orchard import JSON, Cluster, wait_until
from tests.support.upstream import Upstream

Names = Callable[[], str]


def test_hits__zero_upstream_requests_and_zero_jobs(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name = project()
    filename = f"{name.replace('-', '_')}-1.0-py3-none-any.whl"
    upstream.add_project(name, {filename: build_wheel(name, "1.0")})
    path = orchard.file_path(name, filename)
    orchard.get(path)
    requests = len(upstream.requests)
    sql = orchard.metric(orchard.gateway, "orchard_database_statements_total")
    for _ in range(20):
        assert orchard.get(f"/pypi/simple/{name}/", headers={"Accept": JSON}).headers["x-cache"] == "HIT"
        assert orchard.get(path).headers["x-cache"] == "HIT"
    assert len(upstream.requests) == requests
    assert orchard.metric(orchard.gateway, "orchard_database_statements_total") == sql


def test_health__shows_stores_pools_and_queues(orchard: Cluster) -> None:
    report = orchard.get("/health").json()
    assert report["status"] == "ok"
    assert report["database"]["status"] == "ok"
    fetcher = report["workers"]["fetcher"][0]
    assert fetcher["http_pool"]["max"] == 100
    assert fetcher["threads"]["max"] == 32
    assert set(report["queues"]) >= {"index", "artifact", "refresh", "extract"}


def test_request_id__follows_the_job_into_the_logs_of_fetcher_and_extractor(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name = project()
    filename = f"{name.replace('-', '_')}-1.0-py3-none-any.whl"
    upstream.add_project(name, {filename: build_wheel(name, "1.0")})
    path = orchard.file_path(name, filename)
    answer = orchard.get(path, headers={"X-Request-Id": "trace-me-0001"})
    assert answer.headers["x-request-id"] == "trace-me-0001"
    for service in (orchard.fetcher, orchard.all_of("extractor")[0]):
        wait_until(
            lambda log=service.log: "trace-me-0001" in log.read_text(),
            seconds=5,
            what=f"the request id in the log of {service.name}",
        )


def test_metrics__no_package_name_is_a_label(orchard: Cluster, upstream: Upstream, project: Names) -> None:
    name = project()
    upstream.add_project(name, {f"{name.replace('-', '_')}-1.0-py3-none-any.whl": build_wheel(name, "1.0")})
    orchard.page(name)
    assert name not in orchard.get("/metrics").text
