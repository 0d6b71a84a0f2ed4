"""A whole Orchard whose two Redis roles are watched by Sentinel: both masters die, nothing is restarted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.builders import wheel_file
from tests.support.orchard import JSON, Cluster, cluster, wait_until
from tests.support.sentinel import Watched, watched
from tests.support.upstream import Upstream

PROJECTS = ("before", "while-away", "afterwards")


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        for project in PROJECTS:
            wheel = wheel_file(project, "1.0")
            server.add_project(project, {wheel.filename: wheel.content})
        yield server


def _download(orchard: Cluster, project: str) -> int:
    path = orchard.file_path(project, f"{project.replace('-', '_')}-1.0-py3-none-any.whl")
    return orchard.get(path).status_code


def _asked(orchard: Cluster, project: str) -> httpx.Response:
    return orchard.get(f"/pypi/simple/{project}/", headers={"Accept": JSON})


@pytest.mark.slow
def test_failover__both_masters_die__hits_go_on_and_misses_work_again_without_a_restart(
    tmp_path: Path, upstream: Upstream
) -> None:
    with watched(tmp_path, "cache") as cache, watched(tmp_path, "queue") as queue:
        settings = cache.settings(prefix="REDIS") | queue.settings(prefix="QUEUE_REDIS")
        with cluster(tmp_path / "orchard", upstream, **settings) as orchard:
            assert _download(orchard, "before") == 200
            with queue.master.client() as client:
                assert client.exists("orchard:generation"), "it is the watched master that is used"
            queue.wait_replicated()
            wait_until(lambda: _asked(orchard, "before").headers["x-cache"] == "HIT", what="it is in memory")
            started = [service.process.pid for service in orchard.services]

            _kill(cache, queue)
            away = _asked(orchard, "before")
            assert (away.status_code, away.headers["x-cache"]) == (200, "STALE"), "from memory"
            refused = _asked(orchard, "while-away")
            assert (refused.status_code, refused.headers.get("retry-after") is None) == (503, False)
            for role in (cache, queue):
                role.wait_failed_over()

            wait_until(lambda: _asked(orchard, "while-away").status_code == 200, what="a miss")
            assert _download(orchard, "while-away") == 200
            assert _download(orchard, "afterwards") == 200
            wait_until(
                lambda: _asked(orchard, "before").headers["x-cache"] in ("HIT", "REVALIDATED"),
                what="the memory is kept true by the new master",
            )
            assert [service.process.pid for service in orchard.services] == started
            assert all(service.process.poll() is None for service in orchard.services)
            with queue.replica.client() as client:
                assert client.exists("orchard:generation")


def _kill(*roles: Watched) -> None:
    for role in roles:
        role.master.kill()
