"""Servings through real processes that are stopped and killed: none twice, and none lost that was kept."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import asyncpg
import pytest

from shared.ledger.stream import STREAM
from tests.support.builders import build_wheel
from tests.support.gateway import raw_request, read_response
from tests.support.orchard import Cluster, wait_until
from tests.support.upstream import Upstream

Names = Callable[[], str]


@pytest.fixture(scope="module")
def with_postgres() -> bool:
    return True


def count(orchard: Cluster, project: str) -> int:
    """How many servings of a project are stored."""

    async def read() -> int:
        connection = await asyncpg.connect(orchard.database_url)
        try:
            found = await connection.fetchval(
                "SELECT coalesce(sum(times), 0) FROM servings s JOIN serving_files f ON f.id = s.file_id "
                "WHERE f.project = $1",
                project,
            )
            return int(found)
        finally:
            await connection.close()

    return asyncio.run(read())


def until(orchard: Cluster, project: str, wanted: int) -> None:
    wait_until(lambda: count(orchard, project) >= wanted, seconds=30, what=f"{wanted} servings of {project}")
    with orchard.client(orchard.queue) as redis:
        wait_until(lambda: redis.xlen(STREAM) == 0, seconds=30, what="the empty stream")
    assert count(orchard, project) == wanted


@pytest.fixture
def wheel(orchard: Cluster, upstream: Upstream, project: Names) -> tuple[str, str]:
    """A stored file's project and path, whose first serving is kept."""
    name = project()
    filename = f"{name.replace('-', '_')}-1.0-py3-none-any.whl"
    upstream.add_project(name, {filename: build_wheel(name, "1.0")})
    path = orchard.file_path(name, filename)
    assert orchard.get(path).status_code == 200
    until(orchard, name, 1)
    return name, path


class Asking:
    """A client that asks one gateway for a file as fast as it can, and counts what it got whole."""

    def __init__(self, port: int, path: str) -> None:
        self.port, self.path, self.got = port, path, 0
        self.stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self.stop.is_set():
            try:
                self.got += raw_request(self.port, self.path, timeout=5).complete
            except OSError:
                time.sleep(0.01)


@contextmanager
def asking(port: int, path: str) -> Iterator[Asking]:
    client = Asking(port, path)
    client._thread.start()
    try:
        yield client
    finally:
        client.stop.set()
        client._thread.join()


def test_gateway_that_is_stopped__loses_nothing(orchard: Cluster, wheel: tuple[str, str]) -> None:
    name, path = wheel
    gateway = orchard.start("gateway")
    for _ in range(25):
        assert raw_request(gateway.port, path).complete
    assert gateway.stop() == 0
    until(orchard, name, 26)


def test_gateway_that_is_stopped_under_load__loses_nothing(orchard: Cluster, wheel: tuple[str, str]) -> None:
    name, path = wheel
    gateway = orchard.start("gateway")
    with asking(gateway.port, path) as client:
        wait_until(lambda: client.got > 20, what="some answers")
        assert gateway.stop() == 0
    until(orchard, name, 1 + client.got)


def test_gateway_that_is_killed__loses_seconds_at_most_and_doubles_nothing(
    orchard: Cluster, wheel: tuple[str, str]
) -> None:
    name, path = wheel
    gateway = orchard.start("gateway")
    for _ in range(5):
        assert raw_request(gateway.port, path).complete
    until(orchard, name, 6)  # these were kept
    with asking(gateway.port, path) as client:
        wait_until(lambda: client.got > 20, what="some answers")
        gateway.kill()
    with orchard.client(orchard.queue) as redis:
        wait_until(lambda: redis.xlen(STREAM) == 0, seconds=30, what="the empty stream")
    assert 6 <= count(orchard, name) <= 6 + client.got + 1


def test_extractors_that_are_killed_again_and_again__each_serving_is_stored_once(
    orchard: Cluster, wheel: tuple[str, str]
) -> None:
    name, path = wheel
    with asking(orchard.gateway.port, path) as client:
        for number in range(6):
            extractor = orchard.all_of("extractor")[-1]
            before = client.got
            wait_until(lambda before=before: client.got > before + 30, seconds=30, what="more answers")
            extractor.signal(signal.SIGKILL)
            extractor.process.wait()
            orchard.start("extractor", wait=number % 2 == 0)
    until(orchard, name, 1 + client.got)


def test_queue_redis_that_goes_away__hits_go_on_and_are_in_the_ledger_later(
    orchard: Cluster, wheel: tuple[str, str]
) -> None:
    name, path = wheel
    with asking(orchard.gateway.port, path) as client:
        wait_until(lambda: client.got > 10, what="some answers")
        orchard.queue.kill()
        before = client.got
        wait_until(lambda: client.got > before + 50, seconds=30, what="answers without the queue")
        orchard.queue.start()
        wait_until(lambda: client.got > before + 80, seconds=30, what="answers with it")
    # What lay in Redis when it was killed is as durable as its own file: nothing is doubled, and all that the
    # gateway held comes.
    wait_until(lambda: count(orchard, name) > before, seconds=30, what="the servings of the time without it")
    with orchard.client(orchard.queue) as redis:
        wait_until(lambda: redis.xlen(STREAM) == 0, seconds=30, what="the empty stream")
    assert count(orchard, name) <= 1 + client.got


def test_database_that_goes_away__servings_wait_in_redis(orchard: Cluster, wheel: tuple[str, str]) -> None:
    name, path = wheel
    orchard.postgres.stop()
    for _ in range(10):
        assert orchard.get(path).headers["x-cache"] == "HIT"
    with orchard.client(orchard.queue) as redis:
        wait_until(lambda: redis.xlen(STREAM) > 0, what="a batch that waits")
    orchard.postgres.start()
    until(orchard, name, 11)


def test_token__is_named(orchard: Cluster, upstream: Upstream, wheel: tuple[str, str]) -> None:
    name, path = wheel
    gateway = orchard.start("gateway", ORCHARD_ADMIN_TOKEN="operators-token-of-tests")
    headers = {"authorization": "Bearer operators-token-of-tests"}
    for each in (headers, headers, {"authorization": "Bearer wrong"}, {}):
        assert raw_request(gateway.port, path, headers=each).complete
    gateway.stop()
    until(orchard, name, 5)

    async def read() -> list[tuple[str, int]]:
        connection = await asyncpg.connect(orchard.database_url)
        try:
            rows = await connection.fetch(
                "SELECT c.token, sum(times)::int AS times FROM servings s "
                "JOIN serving_files f ON f.id = s.file_id JOIN serving_clients c ON c.id = s.client_id "
                "WHERE f.project = $1 GROUP BY 1 ORDER BY 1",
                name,
            )
            return [(row["token"], row["times"]) for row in rows]
        finally:
            await connection.close()

    assert asyncio.run(read()) == [("", 3), ("ORCHARD_ADMIN_TOKEN", 2)]


def test_off__nothing_is_noted(orchard: Cluster, wheel: tuple[str, str]) -> None:
    name, path = wheel
    gateway = orchard.start("gateway", ORCHARD_LEDGER_DAYS="0")
    for _ in range(4):
        assert raw_request(gateway.port, path).complete
    gateway.stop()
    assert orchard.get(path).status_code == 200
    until(orchard, name, 2)


def test_hostile_user_agents__are_other(orchard: Cluster, wheel: tuple[str, str]) -> None:
    name, path = wheel
    agents = [b"pip/24.0", b"\x1b[2Jpip/1", b"\xff\xfe/1", b"'; DROP TABLE servings; --", b"a" * 30_000, b""]
    for agent in agents:
        with socket.create_connection(("127.0.0.1", orchard.gateway.port), timeout=10) as client:
            head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: ".encode()
            client.sendall(head + agent + b"\r\n\r\n")
            assert read_response(client).status in (200, 400)
    wait_until(lambda: count(orchard, name) >= 1 + 4, seconds=30, what="the servings")

    async def read() -> set[str]:
        connection = await asyncpg.connect(orchard.database_url)
        try:
            rows = await connection.fetch(
                "SELECT DISTINCT c.tool FROM servings s JOIN serving_files f ON f.id = s.file_id "
                "JOIN serving_clients c ON c.id = s.client_id WHERE f.project = $1",
                name,
            )
            return {row["tool"] for row in rows}
        finally:
            await connection.close()

    tools = asyncio.run(read())
    assert {"pip", "other", ""} <= tools <= {"pip", "other", "", "python-httpx"}
