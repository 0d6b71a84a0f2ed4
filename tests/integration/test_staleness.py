"""Expiry and upstream trouble: bounded waits, stale pages, offline, all stores but the objects lost."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.support.builders import build_wheel
from tests.support.orchard import JSON, Cluster, cluster, wait_until
from tests.support.upstream import Fault, Upstream

Names = Callable[[], str]
TTL_SECONDS = 1


@pytest.fixture(scope="module")
def orchard_settings() -> dict[str, str]:
    return {"ORCHARD_CACHE_TTL_INDEX": str(TTL_SECONDS), "ORCHARD_CACHE_TTL_NEGATIVE": "1"}


def _publish(upstream: Upstream, name: str, versions: int = 1) -> str:
    files = {
        f"{name.replace('-', '_')}-{number}.0-py3-none-any.whl": build_wheel(name, f"{number}.0")
        for number in range(1, versions + 1)
    }
    return upstream.add_project(name, files)


def _expire() -> None:
    time.sleep(TTL_SECONDS * 1.1 + 0.2)  # the TTL's jitter is ±10 %


def _get(orchard: Cluster, name: str) -> tuple[int, str, dict[str, object]]:
    answer = orchard.get(f"/pypi/simple/{name}/", headers={"Accept": JSON})
    return answer.status_code, answer.headers["x-cache"], answer.json()


def test_expired_page__upstream_fast__new_content(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name = project()
    _publish(upstream, name)
    assert len(orchard.page(name)["files"]) == 1
    _publish(upstream, name, versions=2)
    _expire()
    status, x_cache, page = _get(orchard, name)
    assert (status, x_cache, len(page["files"])) == (200, "REVALIDATED", 2)  # type: ignore[arg-type]


def test_expired_page__upstream_unchanged__revalidated_by_304(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name = project()
    path = _publish(upstream, name)
    first = orchard.get(f"/pypi/simple/{name}/", headers={"Accept": JSON})
    _expire()
    second = orchard.get(f"/pypi/simple/{name}/", headers={"Accept": JSON})
    assert second.headers["etag"] == first.headers["etag"]
    asked = upstream.seen(path)
    assert len(asked) == 2 and "if-none-match" in asked[1].headers
    third = orchard.get(f"/pypi/simple/{name}/", headers={"Accept": JSON})
    assert third.headers["x-cache"] == "HIT"


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=500),
        Fault(silent=True),
        Fault(reset=True, cut_at=0),
        Fault(status=403),
        Fault(body=b"<html>"),
    ],
    ids=["500", "silent", "reset", "403", "nonsense"],
)
def test_expired_page__upstream_failing__stale_within_a_second_and_marked(
    orchard: Cluster, upstream: Upstream, project: Names, fault: Fault
) -> None:
    name = project()
    path = _publish(upstream, name)
    before = orchard.page(name)
    _publish(upstream, name, versions=2)  # else the upstream would answer 304, which has no body to break
    _expire()
    upstream.fault(path, fault)
    started = time.monotonic()
    status, x_cache, page = _get(orchard, name)
    assert time.monotonic() - started < 5  # the bounded wait is 0.5 s, a silent upstream's far longer
    assert (status, x_cache) == (200, "STALE")
    assert page == before
    upstream.heal()
    wait_until(
        lambda: _get(orchard, name)[1] != "STALE", seconds=40, what="a fresh page after the upstream is back"
    )


def test_slow_upstream__stale_now__fresh_soon_after(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name = project()
    path = _publish(upstream, name)
    orchard.page(name)
    _publish(upstream, name, versions=2)
    _expire()
    upstream.fault(path, Fault(delay_seconds=1.5), times=1)
    assert _get(orchard, name)[1] == "STALE"
    wait_until(lambda: len(_get(orchard, name)[2]["files"]) == 2, what="the refreshed page")  # type: ignore[arg-type]


def test_true_404__wins_over_a_stale_page(orchard: Cluster, upstream: Upstream, project: Names) -> None:
    name = project()
    path = _publish(upstream, name)
    orchard.page(name)
    upstream.remove(path)
    _expire()
    wait_until(lambda: _get(orchard, name)[0] == 404, what="the upstream's 404")


def test_negative_entry__expires__project_appears(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name = project()
    assert orchard.get(f"/pypi/simple/{name}/").status_code == 404
    _publish(upstream, name)
    wait_until(lambda: _get(orchard, name)[0] == 200, what="the new project")


def test_cache_redis_emptied__upstream_away__pages_and_files_still_served(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name = project()
    path = _publish(upstream, name)
    filename = f"{name.replace('-', '_')}-1.0-py3-none-any.whl"
    file_path = orchard.file_path(name, filename)
    wheel = orchard.get(file_path).content
    before = orchard.page(name)
    orchard.cache.command("FLUSHALL")
    upstream.fault("*", Fault(status=503))
    try:
        answer = orchard.get(file_path)
        assert answer.status_code == 200 and answer.content == wheel
        wait_until(lambda: _get(orchard, name)[0] == 200, seconds=12, what="the page from its last good copy")
        page = _get(orchard, name)[2]
        assert [each["url"] for each in page["files"]] == [each["url"] for each in before["files"]]  # type: ignore[attr-defined]
    finally:
        upstream.heal()
    assert upstream.count(f"/files/{name}/{filename}", "GET") == 1
    assert path


@pytest.mark.slow
def test_offline__everything_seen_is_served__nothing_is_asked(
    tmp_path_factory: pytest.TempPathFactory, upstream: Upstream, project: Names
) -> None:
    name = project()
    _publish(upstream, name)
    filename = f"{name.replace('-', '_')}-1.0-py3-none-any.whl"
    folder = tmp_path_factory.mktemp("offline")
    with cluster(folder, upstream, ORCHARD_CACHE_TTL_INDEX="1") as running:
        path = running.file_path(name, filename)
        wheel = running.get(path).content
        for service in list(running.services):
            service.stop()
        running.cache.command("FLUSHALL")
        running.settings["ORCHARD_OFFLINE"] = "true"
        before = len(upstream.requests)
        connections = upstream.connections
        fetcher = running.start("fetcher")
        running.start("extractor")
        running.start("gateway")
        assert running.page(name)["files"][0]["filename"] == filename
        assert running.get(path).content == wheel
        never_seen = running.get("/pypi/simple/never-seen-here/", headers={"Accept": JSON})
        assert never_seen.status_code == 424
        assert never_seen.json()["code"] == "offline"
        assert "ORCHARD_OFFLINE is set and never-seen-here was never cached" in never_seen.text
        assert (len(upstream.requests), upstream.connections) == (before, connections)
        assert running.metric(fetcher, "orchard_upstream_connects_total") == 0
        assert running.get("/health").json()["offline"] is True
        assert "<strong>Offline:</strong>" in running.get("/").text
