"""Several upstreams: priority, pins, bound names, credentials, changes within a second."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import time
from collections.abc import Callable, Iterator

import asyncpg
import pytest

from services.standalone.redis_server import EmbeddedRedis
from tests.support.builders import build_wheel
from tests.support.orchard import JSON, Cluster, cluster, wait_until
from tests.support.upstream import Fault, Upstream

Names = Callable[[], str]
USER, PASSWORD = "reader", "canary-s3cret"  # pragma: allowlist secret


@pytest.fixture(scope="module")
def second() -> Iterator[Upstream]:
    with Upstream() as server:
        yield server


@pytest.fixture(scope="module")
def orchard(
    tmp_path_factory: pytest.TempPathFactory, upstream: Upstream, second: Upstream
) -> Iterator[Cluster]:
    private = upstream.url.replace("://", f"://{USER}:{PASSWORD}@")
    with cluster(
        tmp_path_factory.mktemp("orchard"),
        upstream,
        ORCHARD_PYPI_UPSTREAM=f"{private}/simple/,{second.url}/simple/",
        ORCHARD_CACHE_TTL_INDEX="1",
        ORCHARD_CACHE_TTL_NEGATIVE="1",
    ) as running:
        yield running


def _publish(upstream: Upstream, name: str, version: str = "1.0") -> tuple[str, bytes]:
    wheel = build_wheel(name, version)
    filename = f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
    upstream.add_project(name, {filename: wheel})
    return filename, wheel


def _execute(orchard: Cluster, statement: str, *arguments: object) -> None:
    async def run() -> None:
        connection = await asyncpg.connect(orchard.database_url)
        try:
            await connection.execute(statement, *arguments)
        finally:
            await connection.close()

    asyncio.run(run())


def _status(orchard: Cluster, name: str) -> int:
    return orchard.get(f"/pypi/simple/{name}/", headers={"Accept": JSON}).status_code


def test_first_source_that_knows_the_project__wins(
    orchard: Cluster, upstream: Upstream, second: Upstream, project: Names
) -> None:
    name = project()
    _publish(upstream, name, "1.0")
    _publish(second, name, "9.9")
    assert next(each["filename"] for each in orchard.page(name)["files"]).split("-")[1] == "1.0"
    assert second.count(f"/simple/{name}/") == 0


def test_true_404_of_the_first__second_is_asked(
    orchard: Cluster, upstream: Upstream, second: Upstream, project: Names
) -> None:
    name = project()
    _publish(second, name)
    assert len(orchard.page(name)["files"]) == 1
    assert upstream.count(f"/simple/{name}/") == 1


@pytest.mark.parametrize("status", [401, 403, 500, 503])
def test_failure_of_the_first__never_falls_through(
    orchard: Cluster, upstream: Upstream, second: Upstream, project: Names, status: int
) -> None:
    name = project()
    _publish(second, name, "9.9")
    upstream.fault(f"/simple/{name}/", Fault(status=status))
    assert _status(orchard, name) == (503 if status >= 500 else 424)
    assert second.count(f"/simple/{name}/") == 0


def test_pinned_project__later_404_there_is_404__zero_requests_elsewhere(
    orchard: Cluster, upstream: Upstream, second: Upstream, project: Names
) -> None:
    name = project()
    _publish(upstream, name)
    wait_until(lambda: _status(orchard, name) == 200, what="the page")
    upstream.remove(f"/simple/{name}/")
    _publish(second, name, "9.9")
    time.sleep(1.3)
    wait_until(lambda: _status(orchard, name) == 404, what="404 from the pinned source")
    assert second.count(f"/simple/{name}/") == 0


def test_bound_name__zero_requests_leave_for_another_upstream(
    orchard: Cluster, upstream: Upstream, second: Upstream
) -> None:
    _execute(
        orchard,
        "UPDATE upstream_sources SET include = $1 "
        "WHERE priority = (SELECT min(priority) FROM upstream_sources)",
        ["corp-*"],
    )
    try:
        _publish(second, "corp-secret-tool", "9.9")
        wait_until(
            lambda: _status(orchard, "corp-secret-tool") == 404, seconds=5, what="404 for the bound name"
        )
        assert upstream.count("/simple/corp-secret-tool/") >= 1
        assert second.count("/simple/corp-secret-tool/") == 0
    finally:
        _execute(orchard, "UPDATE upstream_sources SET include = '{}'")


def test_disabled_source__its_pages_are_gone_within_a_second(
    orchard: Cluster, upstream: Upstream, second: Upstream, project: Names
) -> None:
    name = project()
    _publish(second, name)
    assert _status(orchard, name) == 200
    _execute(orchard, "UPDATE upstream_sources SET enabled = false WHERE url LIKE $1", f"{second.url}%")
    try:
        wait_until(lambda: _status(orchard, name) == 424, seconds=5, what="the disabled source's page gone")
    finally:
        _execute(orchard, "UPDATE upstream_sources SET enabled = true")


def test_credentials__sent_to_their_source_only_and_never_shown(
    orchard: Cluster, upstream: Upstream, second: Upstream, project: Names
) -> None:
    name = project()
    wheel = build_wheel(name, "1.0")
    filename = f"{name.replace('-', '_')}-1.0-py3-none-any.whl"
    second.put(f"/elsewhere/{filename}", wheel)
    digest = hashlib.sha256(wheel).hexdigest()
    page = (
        f'{{"meta":{{"api-version":"1.0"}},"name":"{name}","files":[{{"filename":"{filename}",'
        f'"url":"{second.url}/elsewhere/{filename}","hashes":{{"sha256":"{digest}"}}}}]}}'
    )
    from tests.support.upstream import Reply

    upstream.put(f"/simple/{name}/", Reply(page.encode(), JSON))
    path = orchard.file_path(name, filename)
    assert orchard.get(path).content == wheel
    expected = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    assert upstream.seen(f"/simple/{name}/")[0].headers["authorization"] == expected
    assert "authorization" not in second.seen(f"/elsewhere/{filename}")[0].headers
    for text in (orchard.logs(), orchard.get("/health").text, orchard.page(name).__repr__()):
        assert PASSWORD not in text
    for server in (orchard.cache, orchard.queue):
        everything = _everything_in(orchard, server)
        assert name.encode() in everything, "the check must have looked at something"
        assert PASSWORD.encode() not in everything


def _everything_in(orchard: Cluster, server: EmbeddedRedis) -> bytes:
    """All keys and string values of a Redis."""
    found = b""
    with orchard.client(server) as client:
        for key in client.scan_iter("*"):
            value = client.get(key) if client.type(key) == b"string" else b""
            found += bytes(key) + b" " + bytes(value or b"") + b"\n"
    return found
