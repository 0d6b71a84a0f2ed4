"""Accepting what an upstream made of a file: whole, or to be repeated; never without the upstream's bytes."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from services.gateway.api.admin.event_rows import EventRepository
from services.gateway.api.admin.repository import Actor
from services.standalone.redis_server import EmbeddedRedis
from shared.postgres.database import Database
from tests.integration.test_events import KINDS, TOKEN, Names, Npm, PyPI, accept, admin, changed, events
from tests.support.freezing import freeze
from tests.support.npm_builders import tarball_path
from tests.support.orchard import Cluster, problem, wait_until
from tests.support.upstream import Fault, Upstream


@pytest.fixture(scope="module")
def orchard_settings() -> dict[str, str]:
    return {"ORCHARD_ADMIN_TOKEN": TOKEN, "ORCHARD_ANONYMOUS_READ": "true"}


@contextmanager
def frozen(server: EmbeddedRedis) -> Iterator[None]:
    freeze(server.pid)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


def lines_of(orchard: Cluster, package: PyPI) -> list[str]:
    found = admin(orchard, "GET", "/api/v1/admin/audit").json()["items"]
    return [each["action"] for each in found if each["subject"].endswith(package.filename)]


@pytest.mark.parametrize("store", ["cache", "queue"])
@pytest.mark.parametrize("kind", KINDS)
def test_accept_while_a_store_does_not_answer__is_repeated__done_once(
    orchard: Cluster, upstream: Upstream, project: Names, kind: type[PyPI], store: str
) -> None:
    package = kind(orchard, upstream, project())
    old, new, event = changed(package)
    with frozen(getattr(orchard, store)):
        assert accept(orchard, event).status_code == 503
    wait_until(lambda: accept(orchard, event).status_code == 200, what="the acceptance")
    assert package.shown() == package.told(new)
    assert package.content() == new
    assert lines_of(orchard, package) == ["event.accept"]
    assert old != new


def test_unpin_while_the_cache_does_not_answer__repeated__its_page_is_asked_for_again(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    package = PyPI(orchard, upstream, project())
    package.put(1)
    package.shown()
    pin = f"/api/v1/admin/pins/pypi/{package.name}"
    with frozen(orchard.cache):
        assert admin(orchard, "DELETE", pin).status_code == 503
    before = upstream.count(package.page_path())
    wait_until(lambda: admin(orchard, "DELETE", pin).status_code == 404, what="the second")
    package.shown()
    assert upstream.count(package.page_path()) > before


@pytest.mark.parametrize("kind", KINDS)
def test_accept__its_gateway_ends_once_the_rows_are_gone__is_finished_by_the_next(
    orchard: Cluster, upstream: Upstream, project: Names, kind: type[PyPI]
) -> None:
    package = kind(orchard, upstream, project())
    _, new, event = changed(package)
    assert package.content() != new, "the cache has its facts"

    async def rows_alone() -> bool:
        database = Database(orchard.database_url, max_size=1)
        await database.open()
        try:
            return await EventRepository(database).accept(Actor("gone"), event["id"], 1)
        finally:
            await database.aclose()

    assert asyncio.run(rows_alone())
    assert accept(orchard, event).status_code == 200
    assert package.shown() == package.told(new)
    assert package.content() == new
    assert lines_of(orchard, package) == ["event.accept"]
    assert accept(orchard, event).status_code == 409, "done"


def path_of(package: PyPI) -> str:
    if isinstance(package, Npm):
        return f"/npm/{package.name}/-/{package.filename}"
    return package.orchard.file_path(package.name, package.filename)


def drops(package: PyPI, first: bytes) -> int:
    package.upstream.fault(package.page_path(), Fault(status=404))
    return 409


def goes_back(package: PyPI, first: bytes) -> int:
    assert package.put(1) == first
    return 409


def fails(package: PyPI, first: bytes) -> int:
    package.upstream.fault(package.page_path(), Fault(status=503))
    return 503


@pytest.mark.parametrize("then", [drops, goes_back, fails])
@pytest.mark.parametrize("kind", KINDS)
def test_accept__what_the_upstream_no_longer_tells__refused_and_the_stored_bytes_stay(
    orchard: Cluster,
    upstream: Upstream,
    project: Names,
    kind: type[PyPI],
    then: Callable[[PyPI, bytes], int],
) -> None:
    package = kind(orchard, upstream, project())
    old, _, event = changed(package)
    path = path_of(package)
    status = then(package, old)
    refused = accept(orchard, event)
    assert (refused.status_code, problem(refused)["code"] == "conflict") == (status, status == 409)
    assert orchard.get(path).content == old
    assert events(orchard, project=package.name, kind="upstream_mutated")[0]["acceptable"]
    assert lines_of(orchard, package) == []


@pytest.mark.parametrize(("fault", "status"), [(503, 503), (404, 409)])
@pytest.mark.parametrize("kind", KINDS)
def test_accept__its_new_bytes_cannot_be_had__the_first_are_back_until_they_can(
    orchard: Cluster, upstream: Upstream, project: Names, kind: type[PyPI], fault: int, status: int
) -> None:
    package = kind(orchard, upstream, project())
    old, new, event = changed(package)
    path = path_of(package)
    at = tarball_path(package.name, "1.0.0") if kind is Npm else f"/files/{package.name}/{package.filename}"
    upstream.fault(at, Fault(status=fault))
    refused = accept(orchard, event)
    assert refused.status_code == status, refused.text
    upstream.heal(at)
    assert orchard.get(path).content == old
    wait_until(lambda: package.shown() == package.told(old), what="the first on the page")
    assert lines_of(orchard, package) == ["event.accept.undone", "event.accept"]
    wait_until(lambda: accept(orchard, event).status_code == 200, what="the acceptance")
    assert package.shown() == package.told(new)
    assert package.content() == new


@pytest.mark.parametrize("kind", KINDS)
def test_accept__while_its_source_is_paused__refused_and_taken_once_it_is_back(
    orchard: Cluster, upstream: Upstream, project: Names, kind: type[PyPI]
) -> None:
    package = kind(orchard, upstream, project())
    _, new, event = changed(package)
    sources = admin(orchard, "GET", "/api/v1/admin/upstreams").json()["items"]
    source = next(each for each in sources if each["protocol"] == package.protocol)
    path = f"/api/v1/admin/upstreams/{source['id']}"
    assert admin(orchard, "PATCH", path, json={"enabled": False}).status_code == 200
    try:
        assert accept(orchard, event).status_code == 424
    finally:
        assert admin(orchard, "PATCH", path, json={"enabled": True}).status_code == 200
    wait_until(lambda: accept(orchard, event).status_code == 200, what="the acceptance")
    assert package.content() == new
