"""With a store stopped or frozen, no body that a stranger gets names an address of this installation."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from bench.harness.processes import descendants
from tests.support.builders import build_wheel
from tests.support.freezing import freeze
from tests.support.orchard import JSON, Cluster, cluster, wait_until
from tests.support.s3_proxy import running_s3_proxy
from tests.support.seaweedfs import SeaweedFS, new_prefix
from tests.support.stores import address_of
from tests.support.upstream import Upstream

ADMIN = "an-operators-token"
SETTINGS = {"ORCHARD_ADMIN_TOKEN": ADMIN, "ORCHARD_REQUEST_TIMEOUT": "3"}


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        yield server


@pytest.fixture(scope="module")
def orchard(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("orchard")
    with cluster(folder, upstream, with_postgres=True, **SETTINGS) as running:
        yield running


@contextmanager
def _stopped(server: object) -> Iterator[None]:
    server.kill()  # type: ignore[attr-defined]
    try:
        yield
    finally:
        server.start()  # type: ignore[attr-defined]


@contextmanager
def _frozen(pid: int) -> Iterator[None]:
    """The server with all its processes: PostgreSQL's first one alone serves no connection that is open."""
    pids = [pid, *descendants(pid)]
    for each in pids:
        freeze(each)
    try:
        yield
    finally:
        for each in pids:
            os.kill(each, signal.SIGCONT)


def _asked(orchard: Cluster, cold: str) -> Iterator[tuple[str, httpx.Response]]:
    """Each address of the API, the protocols and the operator, once."""
    for path in (
        "/health", "/health/ready", "/", f"/pypi/simple/{cold}/", f"/pypi/files/{cold}/{cold}-1.0.tar.gz",
        f"/npm/{cold}", f"/npm/{cold}/-/{cold}-1.0.0.tgz", "/npm/-/v1/search?text=x",
        f"/maven/org/acme/{cold}/maven-metadata.xml", f"/maven/org/acme/{cold}/1/{cold}-1.jar",
        "/api/v1/queues", "/api/v1/admin/queues/index/dead", "/api/v1/packages/pypi", "/api/v1/events",
        f"/api/v1/artifacts/{'0' * 64}", f"/api/v1/packages/pypi/{cold}/1.0",
        f"/api/v1/packages/pypi/{cold}", f"/api/v1/resolutions/{'0' * 64}",
        "/api/v1/admin/upstreams", "/api/v1/admin/blocks", "/api/v1/admin/audit",
    ):  # fmt: skip
        operator = {"authorization": f"Bearer {ADMIN}"} if "/admin/" in path else {}
        yield path, orchard.get(path, headers={"accept": f"{JSON}, */*", **operator}, timeout=20)
    for path in ("/npm/-/npm/v1/security/advisories/bulk", "/api/v1/ensures"):
        yield path, httpx.post(orchard.url(path), json={}, timeout=20, trust_env=False)
    tests = "/api/v1/admin/upstreams/1/test"
    operator = {"authorization": f"Bearer {ADMIN}"}
    yield tests, httpx.post(orchard.url(tests), headers=operator, json={}, timeout=20, trust_env=False)


def _check(orchard: Cluster, ports: list[int], cold: str) -> set[int]:
    inner = re.compile(rf":({'|'.join(map(str, ports))})\b|['\"], ?({'|'.join(map(str, ports))})\b")
    statuses = set()
    for path, answer in _asked(orchard, cold):
        statuses.add(answer.status_code)
        told = answer.text + repr(answer.headers)
        assert not inner.search(told), (path, told)
        assert "Connect call" not in told or "('" not in told, (path, told)
    return statuses


def _ports(orchard: Cluster) -> list[int]:
    database = urlsplit(orchard.database_url)
    workers = [each.port for each in orchard.services if each.name != "gateway"]
    ports = [address_of(orchard.cache).port, address_of(orchard.queue).port, database.port, *workers]
    return [port for port in ports if port]


@pytest.mark.parametrize("how", ["stopped", "frozen"])
@pytest.mark.parametrize("stores", [("cache",), ("queue",), ("postgres",), ("cache", "postgres", "queue")])
def test_answers__stores_away__tell_no_inner_address(
    orchard: Cluster, stores: tuple[str, ...], how: str
) -> None:
    ports = _ports(orchard)
    with ExitStack() as away:
        for name in stores:
            server = getattr(orchard, name)
            away.enter_context(_stopped(server) if how == "stopped" else _frozen(server.pid))
        statuses = _check(orchard, ports, f"cold-{how}-{'-'.join(stores)}")
    assert 503 in statuses or stores == ("cache",)
    wait_until(lambda: orchard.get("/health").json()["status"] == "ok", seconds=30, what="recovery")


def test_answers__bucket_away__tell_no_inner_address(
    tmp_path: Path, upstream: Upstream, seaweedfs: SeaweedFS
) -> None:
    with ExitStack() as away:
        store = away.enter_context(running_s3_proxy(seaweedfs.endpoint))
        s3 = {**seaweedfs.settings(new_prefix()), "ORCHARD_S3_ENDPOINT": store.endpoint}
        upstream.add_project("cold", {"cold-1.0-py3-none-any.whl": build_wheel("cold", "1.0")})
        with cluster(tmp_path, upstream, **SETTINGS, **s3) as orchard:
            port = urlsplit(store.endpoint).port
            assert port
            path = orchard.file_path("cold", "cold-1.0-py3-none-any.whl")
            away.close()
            with suppress(httpx.RemoteProtocolError):  # broken off on its way
                assert str(port) not in orchard.get(path, timeout=20).text
            _check(orchard, [port, *_ports(orchard)], "cold")
