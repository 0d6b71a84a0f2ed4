"""The gateway's edges: bad requests, errors as documents, other routes, start and stop."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from shared.cache.service import CacheService
from shared.http.via import name_of, via_value
from shared.models import FileName
from shared.redis.client import RedisClient
from shared.settings import load_settings
from tests.services.gateway.conftest import Stores
from tests.support.freezing import freeze
from tests.support.gateway import GatewayProcess, RawResponse, raw_request, running_gateway
from tests.support.stores import ROOT, address_of, own_redis

JSON = "application/vnd.pypi.simple.v1+json"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/pypi/simple/../x/", {400, 404}),
        ("GET", "/pypi/simple/..%2fx/", {400, 404}),
        ("GET", "/pypi/simple/a%00b/", {400, 404}),
        ("GET", "/pypi/simple/%ff/", {400, 404}),
        ("GET", "/pypi/simple/" + "a" * 9000 + "/", {400, 414}),
        ("GET", "/pypi/nothing/here", {404}),
        ("GET", "/v/2024/pypi/simple/", {404}),
        ("GET", "/nothing", {404}),
        ("GET", "/nothing/%00", {400, 404}),
        ("POST", "/pypi/simple/flask/", {405}),
        ("PUT", "/pypi/simple/flask/", {405}),
        ("DELETE", "/health", {405}),
    ],
)
async def test_bad_request__is_refused_with_a_problem_document(
    gateway: GatewayProcess, stores: Stores, method: str, path: str, status: set[int]
) -> None:
    reply = await asyncio.to_thread(gateway.request, path, method, accept=JSON)
    assert reply.status in status
    assert reply.headers["content-type"] == "application/problem+json"
    document = json.loads(reply.body)
    assert document["status"] == reply.status
    assert {"code", "hint", "reason", "detail", "request_id"} <= document.keys()
    assert await stores.queue_redis.raw.keys("arq:job:*") == []
    if reply.status == 405:
        assert reply.headers["allow"] == "GET, HEAD"


async def test_request_id__given__is_returned_and_else_made(gateway: GatewayProcess) -> None:
    given = await asyncio.to_thread(gateway.request, "/pypi/nothing", x_request_id="build-42")
    assert given.headers["x-request-id"] == "build-42"
    for bad in ('a"b', "x" * 65, "ä"):
        made = await asyncio.to_thread(gateway.request, "/pypi/nothing", x_request_id=bad)
        assert made.headers["x-request-id"] not in ("", bad)


async def test_own_via__comes_back__is_a_loop(gateway: GatewayProcess, stores: Stores) -> None:
    name = name_of((await stores.database.fetch("SELECT id FROM installation"))[0]["id"])
    reply = await asyncio.to_thread(gateway.request, "/pypi/simple/flask/", accept=JSON, via=via_value(name))
    assert reply.status == 508
    await stores.put_index("flask", b"page")
    for _ in range(3):
        other = await asyncio.to_thread(
            gateway.request, "/pypi/simple/flask/", accept=JSON, via="1.1 someone-else"
        )
        assert other.status == 200
    hot = await asyncio.to_thread(gateway.request, "/pypi/simple/flask/", accept=JSON, via=via_value(name))
    assert hot.status == 508


async def test_other_routes__answer(gateway: GatewayProcess, stores: Stores) -> None:
    page = await asyncio.to_thread(gateway.request, "/")
    assert page.status == 200
    assert f"http://127.0.0.1:{gateway.port}/pypi/simple/".encode() in page.body
    assert (await asyncio.to_thread(gateway.request, "/health/live")).status == 200
    health = await asyncio.to_thread(gateway.request, "/health")
    assert json.loads(health.body)["redis_cache"]["status"] == "ok"
    await stores.put_index("flask", b"page")
    await asyncio.to_thread(gateway.request, "/pypi/simple/flask/", accept=JSON)
    metrics = await asyncio.to_thread(gateway.request, "/metrics")
    assert b'orchard_http_requests_total{protocol="pypi",result="HIT",status_class="2xx"} 1.0' in metrics.body
    assert b"flask" not in metrics.body
    api = await asyncio.to_thread(gateway.request, "/api/v1/openapi/openapi.json")
    assert api.status == 200


async def test_api_page__names_every_operation_and_loads_nothing_of_other_hosts(
    gateway: GatewayProcess,
) -> None:
    page = await asyncio.to_thread(gateway.request, "/api/v1/openapi")
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    text = page.body.decode()
    assert "<script" not in text
    assert "://" not in text
    schema = json.loads((await asyncio.to_thread(gateway.request, "/api/v1/openapi/openapi.json")).body)
    for path, operations in schema["paths"].items():
        for method in operations:
            assert f"{method.upper()} {path}<" in text
    assert "<code>requirements</code> <small>body, required</small>" in text
    assert "The token is in this answer and nowhere else." in text  # a handler's own words
    for other in ("redoc", "swagger", "elements", "rapidoc"):
        reply = await asyncio.to_thread(gateway.request, f"/api/v1/openapi/{other}")
        assert (reply.status, b"http" in reply.body) == (404, False)


async def test_index__changed_in_redis__is_no_longer_served_from_memory(
    gateway: GatewayProcess, stores: Stores
) -> None:
    for number in range(3):
        body = b"page %d" % number
        await stores.put_index("flask", body)
        await asyncio.sleep(0.2)  # the invalidation is on its way
        for _ in range(3):
            reply = await asyncio.to_thread(gateway.request, "/pypi/simple/flask/", accept=JSON)
            assert (reply.body, reply.headers["x-cache"]) == (body, "HIT")


async def test_index__gone_hot_then_expired__is_not_called_fresh(
    gateway: GatewayProcess, stores: Stores
) -> None:
    await stores.put_index("flask", b"page", fresh_seconds=1.5)
    for _ in range(3):
        hot = await asyncio.to_thread(gateway.request, "/pypi/simple/flask/", accept=JSON)
        assert hot.headers["x-cache"] == "HIT"
    await asyncio.sleep(1.6)
    stale = await asyncio.to_thread(gateway.request, "/pypi/simple/flask/", accept=JSON)
    assert stale.headers["x-cache"] == "STALE"


async def test_hits__run_no_sql(gateway: GatewayProcess, stores: Stores) -> None:
    await stores.put_index("flask", b"page")
    facts = await stores.put_artifact("flask", "flask-1-py3-none-any.whl", b"x" * 100_000, in_database=False)
    path = f"/pypi/files/flask/{facts.sha256}/{facts.filename}"
    for _ in range(3):
        assert (await asyncio.to_thread(gateway.request, "/pypi/simple/flask/", accept=JSON)).status == 200
        assert (await asyncio.to_thread(gateway.request, path)).status == 200
    # No row exists: the file could only be found without asking the database.


async def test_facts__lost_by_the_cache__are_found_by_the_query_and_kept(
    gateway: GatewayProcess, stores: Stores
) -> None:
    facts = await stores.put_artifact("flask", "flask-1-py3-none-any.whl", b"x" * 1000, in_cache=False)
    path = f"/pypi/files/flask/{facts.sha256}/{facts.filename}"
    assert (await asyncio.to_thread(gateway.request, path)).status == 200
    kept = await stores.cache.read_facts(FileName("pypi", "flask", facts.sha256, facts.filename))
    assert kept is not None
    assert (kept.sha256, kept.size_bytes) == (facts.sha256, facts.size_bytes)


async def test_access_log__has_one_line_per_request_without_the_query(
    gateway: GatewayProcess, stores: Stores
) -> None:
    await stores.put_index("flask", b"page")
    await asyncio.to_thread(
        gateway.request, "/pypi/simple/flask/?token=hidden", accept=JSON, x_request_id="the-id"
    )
    await asyncio.to_thread(gateway.request, '/pypi/simple/"quo\\te/', accept=JSON)
    await asyncio.sleep(0.4)
    lines = [json.loads(line) for line in gateway.output().splitlines() if '"event":"request"' in line]
    first = next(line for line in lines if line["request_id"] == "the-id")
    assert (first["method"], first["path"], first["status"]) == ("GET", "/pypi/simple/flask/", 200)
    assert (first["cache"], first["bytes"], first["service"]) == ("HIT", 4, "gateway")
    assert "hidden" not in gateway.output()
    assert any(line["path"] == '/pypi/simple/"quo\\te/' for line in lines)


async def test_postgres_away__gateway_starts_and_serves_hits(
    store_settings: dict[str, str], stores: Stores, tmp_path: Path
) -> None:
    await stores.put_index("flask", b"page")
    facts = await stores.put_artifact("flask", "flask-1-py3-none-any.whl", b"x" * 1000)
    away = {**store_settings, "ORCHARD_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}
    with running_gateway(away, tmp_path) as gateway:
        assert (await asyncio.to_thread(gateway.request, "/health/ready")).status == 200
        assert (await asyncio.to_thread(gateway.request, "/pypi/simple/flask/", accept=JSON)).status == 200
        path = f"/pypi/files/flask/{facts.sha256}/{facts.filename}"
        assert (await asyncio.to_thread(gateway.request, path)).status == 200
        unknown = await asyncio.to_thread(gateway.request, f"/pypi/files/flask/{'0' * 64}/b-1.tar.gz")
        assert unknown.status == 503
        assert "retry-after" in unknown.headers


async def test_client_gone__frees_the_waiter_and_leaves_the_job(
    gateway: GatewayProcess, stores: Stores
) -> None:
    connection = socket.create_connection(("127.0.0.1", gateway.port))
    connection.sendall(b"GET /pypi/simple/slow/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await asyncio.sleep(0.4)
    connection.close()
    await asyncio.sleep(0.4)
    lines = [json.loads(line) for line in gateway.output().splitlines() if '"event":"request"' in line]
    assert [line["status"] for line in lines if line["path"] == "/pypi/simple/slow/"] == [499]
    assert await stores.queue_redis.raw.exists("arq:job:index:pypi:simple/slow")


async def test_stop__lets_running_requests_end(gateway: GatewayProcess, stores: Stores) -> None:
    async def later() -> None:
        await asyncio.sleep(0.5)
        os.kill(gateway.pid, signal.SIGTERM)
        await asyncio.sleep(0.5)
        await stores.put_index("flask", b"page")

    waiting = asyncio.create_task(
        asyncio.to_thread(gateway.request, "/pypi/simple/flask/", accept=JSON, timeout=15.0)
    )
    await later()
    reply = await waiting
    assert (reply.status, reply.body) == (200, b"page")
    started = time.monotonic()
    assert await asyncio.to_thread(gateway.process.wait, 15) == 0
    assert time.monotonic() - started < 9


def children_of(pid: int) -> list[int]:
    return [int(found) for found in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def test_worker_killed__is_replaced(gateway: GatewayProcess) -> None:
    (worker, *_) = [pid for pid in children_of(gateway.pid) if is_worker(pid)]
    os.kill(worker, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        await asyncio.sleep(0.2)
        with contextlib.suppress(OSError):
            if (await asyncio.to_thread(gateway.request, "/health/ready", timeout=1.0)).status == 200:
                break
    assert worker not in children_of(gateway.pid)
    assert (await asyncio.to_thread(gateway.request, "/health/ready")).status == 200


def is_worker(pid: int) -> bool:
    """Not multiprocessing's resource tracker."""
    return "resource_tracker" not in Path(f"/proc/{pid}/cmdline").read_text()


async def test_server_killed__leaves_no_worker_behind(store_settings: dict[str, str], tmp_path: Path) -> None:
    with running_gateway(store_settings, tmp_path) as gateway:
        workers = children_of(gateway.pid)
        gateway.process.kill()
        gateway.process.wait()
        deadline = time.monotonic() + 12
        while any(Path(f"/proc/{pid}").exists() for pid in workers) and time.monotonic() < deadline:
            await asyncio.sleep(0.1)
        assert not any(Path(f"/proc/{pid}").exists() for pid in workers)


async def test_cache_redis_frozen__memory_is_served_and_nothing_hangs(
    store_settings: dict[str, str], stores: Stores, tmp_path: Path
) -> None:
    with own_redis(tmp_path / "frozen", "cache") as server:
        address = address_of(server)
        env = {
            **store_settings,
            "ORCHARD_REDIS_PORT": str(address.port),
            "ORCHARD_REDIS_PASSWORD": address.password,
        }
        cache_redis = RedisClient.for_cache(load_settings(env))
        own = dataclasses.replace(
            stores, cache_redis=cache_redis, cache=CacheService.from_settings(cache_redis, stores.settings)
        )
        await own.put_index("flask", b"page")
        facts = await own.put_artifact("flask", "flask-1-py3-none-any.whl", b"x" * 1000)
        path = f"/pypi/files/flask/{facts.sha256}/{facts.filename}"
        with running_gateway(env, tmp_path) as gateway:

            async def get(path: str) -> RawResponse:
                return await asyncio.to_thread(gateway.request, path, accept=JSON)

            assert (await get("/pypi/simple/flask/")).headers["x-cache"] == "HIT"
            assert (await get(path)).status == 200
            freeze(server.pid)
            try:
                await asyncio.sleep(3.5)  # asked each second, and given up after 2 s of silence
                stale = await get("/pypi/simple/flask/")
                assert (stale.status, stale.body, stale.headers["x-cache"]) == (200, b"page", "STALE")
                assert (await get(path)).status == 200
                started = time.monotonic()
                unknown = await get("/pypi/simple/unknown/")
                assert (unknown.status, "retry-after" in unknown.headers) == (503, True)
                assert time.monotonic() - started < 10.5
            finally:
                os.kill(server.pid, signal.SIGCONT)
            deadline = time.monotonic() + 5
            while time.monotonic() < deadline:
                if (await get("/pypi/simple/flask/")).headers["x-cache"] == "HIT":
                    break
                await asyncio.sleep(0.1)
            assert (await get("/pypi/simple/flask/")).headers["x-cache"] == "HIT"
        await cache_redis.aclose()


def test_port_taken__one_line_that_names_the_variable(store_settings: dict[str, str]) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("ORCHARD_")}
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "services.gateway"],
            cwd=ROOT, env={**environment, **store_settings, "ORCHARD_PORT": str(port)},
            capture_output=True, text=True, timeout=30,
        )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("ORCHARD_PORT: cannot listen on")
    assert len(done.stderr.splitlines()) == 1


def test_bad_settings__one_line_and_exit_2() -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("ORCHARD_")}
    for settings, line in (
        ({"ORCHARD_PORT": "none"}, "ORCHARD_PORT"),
        ({"ORCHARD_PROT": "1"}, "ORCHARD_PROT: unknown setting; did you mean ORCHARD_PORT?"),
        ({}, "ORCHARD_DATABASE_URL"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "services.gateway"],
            cwd=ROOT, env={**environment, **settings}, capture_output=True, text=True, timeout=30,
        )  # fmt: skip
        assert done.returncode == 2
        assert line in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_http_1_0__unknown_route__is_answered(gateway: GatewayProcess) -> None:
    assert raw_request(gateway.port, "/pypi/nothing", version="1.0").status == 404
