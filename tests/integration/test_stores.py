"""Stores that freeze, vanish or forget: hits go on, the rest answers in time, nothing needs a restart."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import pytest

from tests.support.builders import build_wheel
from tests.support.freezing import freeze
from tests.support.orchard import JSON, Cluster, wait_until
from tests.support.upstream import Upstream

Names = Callable[[], str]
ANSWER_SECONDS = 10.5


@pytest.fixture(scope="module")
def with_postgres() -> bool:
    return True


def _publish(upstream: Upstream, name: str) -> tuple[str, bytes]:
    wheel = build_wheel(name, "1.0")
    filename = f"{name.replace('-', '_')}-1.0-py3-none-any.whl"
    upstream.add_project(name, {filename: wheel})
    return filename, wheel


def _seen(orchard: Cluster, upstream: Upstream, name: str) -> tuple[str, bytes]:
    """A project whose page and file are warm; the file's path and bytes."""
    filename, wheel = _publish(upstream, name)
    path = orchard.file_path(name, filename)
    for _ in range(3):
        assert orchard.get(path).content == wheel
        orchard.page(name)
    return path, wheel


def _ask(orchard: Cluster, path: str) -> tuple[int, str, float]:
    started = time.monotonic()
    answer = orchard.get(
        path, headers={"Accept": JSON} if "/simple/" in path else {}, timeout=ANSWER_SECONDS + 3
    )
    return answer.status_code, answer.headers.get("x-cache", ""), time.monotonic() - started


@contextmanager
def _frozen(pids: list[int]) -> Iterator[None]:
    for pid in pids:
        freeze(pid)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def _recovers(orchard: Cluster, upstream: Upstream, name: str) -> None:
    filename, wheel = _publish(upstream, name)

    def works() -> bool:
        answer = orchard.get(f"/pypi/simple/{name}/", headers={"Accept": JSON})
        return answer.status_code == 200

    wait_until(works, what="a cold page after recovery")
    path = orchard.file_path(name, filename)
    wait_until(lambda: orchard.get(path).status_code == 200, what="a cold file after recovery")
    assert orchard.get(path).content == wheel


def test_cache_redis_frozen__l1_still_serves__rest_answers_in_time(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name = project()
    path, wheel = _seen(orchard, upstream, name)
    with _frozen([orchard.cache.pid]):
        time.sleep(3.0)
        status, x_cache, _ = _ask(orchard, f"/pypi/simple/{name}/")
        assert (status, x_cache) == (200, "STALE")
        answer = orchard.get(path)
        assert answer.status_code == 200 and answer.content == wheel
        status, _, seconds = _ask(orchard, f"/pypi/simple/{project()}/")
        assert status == 503 and seconds <= ANSWER_SECONDS
        assert orchard.get("/health/live").status_code == 200
    _recovers(orchard, upstream, project())


def test_postgres_frozen__hits_go_on__misses_answer_in_time(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    from bench.harness.processes import descendants

    name = project()
    path, wheel = _seen(orchard, upstream, name)
    cold = project()
    _publish(upstream, cold)
    with _frozen([orchard.postgres.pid, *descendants(orchard.postgres.pid)]):
        assert _ask(orchard, f"/pypi/simple/{name}/")[:2] == (200, "HIT")
        answer = orchard.get(path)
        assert answer.headers["x-cache"] == "HIT" and answer.content == wheel
        status, _, seconds = _ask(orchard, f"/pypi/simple/{cold}/")
        assert status in (200, 503) and seconds <= ANSWER_SECONDS
        assert orchard.get("/health/ready").status_code == 200
    _recovers(orchard, upstream, project())


def test_queue_redis_frozen__hits_go_on__misses_503_in_time(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name = project()
    path, _ = _seen(orchard, upstream, name)
    with _frozen([orchard.queue.pid]):
        assert _ask(orchard, f"/pypi/simple/{name}/")[:2] == (200, "HIT")
        assert _ask(orchard, path)[:2] == (200, "HIT")
        status, _, seconds = _ask(orchard, f"/pypi/simple/{project()}/")
        assert status == 503 and seconds <= ANSWER_SECONDS
    _recovers(orchard, upstream, project())


def test_queue_redis_emptied__everything_recovers_without_restart(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    orchard.queue.command("FLUSHALL")
    _recovers(orchard, upstream, project())
    orchard.queue.command("SCRIPT", "FLUSH")
    _recovers(orchard, upstream, project())


def test_queue_redis_restarted__everything_recovers_without_restart(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    orchard.queue.kill()
    orchard.queue.start()
    _recovers(orchard, upstream, project())


def test_cache_redis_emptied__hits_come_back_from_rows_and_objects(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name = project()
    path, wheel = _seen(orchard, upstream, name)
    files = upstream.count(method="GET")
    orchard.cache.command("FLUSHALL")
    answer = orchard.get(path)
    assert answer.content == wheel
    assert upstream.count(method="GET") == files
    _recovers(orchard, upstream, project())


def test_subscriptions_killed__waiters_complete_through_the_poll(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    orchard.queue.command("CLIENT", "KILL", "TYPE", "pubsub")
    name = project()
    _publish(upstream, name)
    assert _ask(orchard, f"/pypi/simple/{name}/")[0] == 200


def test_object_deleted_behind_its_row__first_get_repairs_with_the_same_bytes(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    import hashlib

    name = project()
    path, wheel = _seen(orchard, upstream, name)
    digest = hashlib.sha256(wheel).hexdigest()
    found = [each for each in (orchard.folder / "data").rglob(digest) if each.is_file()]
    assert len(found) == 1
    found[0].unlink()
    wait_until(lambda: _body(orchard, path) == wheel, what="the repaired file")
    assert found[0].exists()


def _body(orchard: Cluster, path: str) -> bytes:
    try:
        return orchard.get(path).content
    except httpx.HTTPError:
        return b""


def test_gateway_starts_without_postgres__ready_and_serving_hits(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name = project()
    path, wheel = _seen(orchard, upstream, name)
    gateway = orchard.start("gateway", ORCHARD_DATABASE_URL="postgresql://nobody:x@127.0.0.1:9/none")
    try:
        answer = httpx.get(gateway.base + path, trust_env=False)
        assert answer.status_code == 200 and answer.content == wheel
        page = httpx.get(f"{gateway.base}/pypi/simple/{name}/", headers={"Accept": JSON}, trust_env=False)
        assert page.headers["x-cache"] == "HIT"
    finally:
        assert gateway.stop() == 0


def test_gateway_sigterm_with_a_download_in_flight__it_finishes(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    import threading

    from tests.support.upstream import Fault

    name = project()
    wheel = build_wheel(name, "1.0", size_bytes=3_000_000)
    filename = f"{name.replace('-', '_')}-1.0-py3-none-any.whl"
    upstream.add_project(name, {filename: wheel})
    upstream.fault(f"/files/{name}/{filename}", Fault(bytes_per_second=1_000_000))
    path = orchard.file_path(name, filename)
    gateway = orchard.start("gateway")
    bodies: list[bytes] = []
    client = threading.Thread(
        target=lambda: bodies.append(httpx.get(gateway.base + path, timeout=30, trust_env=False).content)
    )
    client.start()
    time.sleep(1.0)
    assert gateway.stop() == 0
    client.join()
    assert bodies == [wheel]
