"""Clients that stand still: a real gateway, raw sockets from one loopback address, a hit from another."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from services.gateway.http.slow_clients import SlowClients
from services.gateway.http.sockets import Flow
from tests.services.gateway.conftest import Stores
from tests.support.gateway import GatewayProcess, RawResponse, read_response, running_gateway

CLOSED = 7  # TCP_CLOSE
ATTACKERS = 2100  # more than a gateway has connections
LARGE = 24 * 1024 * 1024  # more than the kernel takes for an unread connection
PAGE = 200 * 1024  # with twelve asked for on one connection more than it takes
WHEEL = "big-1.0-py3-none-any.whl"


HEAD = b" HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: application/vnd.pypi.simple.v1+json\r\n"


def _connect(port: int, source: str) -> socket.socket:
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(20)
    connection.bind((source, 0))
    connection.connect(("127.0.0.1", port))
    return connection


def _hit(port: int, source: str) -> tuple[int, float]:
    """Status and seconds of a hit over a new connection."""
    started = time.monotonic()
    with _connect(port, source) as connection:
        connection.sendall(b"GET /pypi/simple/flask/" + HEAD + b"\r\n")
        return read_response(connection).status, time.monotonic() - started


@contextlib.contextmanager
def _crowd(port: int, request: bytes, number: int = ATTACKERS) -> Iterator[list[socket.socket]]:
    """Connections from 127.0.0.1 that send this and never read."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with contextlib.ExitStack() as stack:
        crowd = []
        for _ in range(number):
            connection = stack.enter_context(_connect(port, "127.0.0.1"))
            with contextlib.suppress(OSError):
                connection.sendall(request)
            crowd.append(connection)
        yield crowd
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


STANDING_STILL = {
    "bodies that never come": b"POST /npm/-/npm/v1/security/audits/quick"
    + HEAD
    + b"Content-Type: application/json\r\nContent-Length: 100000\r\n\r\n{",
    "bodies of the API": b"POST /api/v1/ensure" + HEAD + b"Content-Length: 100000\r\n\r\n[",
    "heads that never end": b"GET /pypi/simple/flask/ HTT",
    "unread files": b"GET %s" + HEAD + b"\r\n",
    "unread pages": (b"GET /pypi/simple/large/" + HEAD + b"\r\n") * 40,
}


@pytest.mark.parametrize("way", STANDING_STILL)
async def test_slow_clients__more_than_there_are_connections__another_address_is_answered(
    gateway: GatewayProcess, stores: Stores, way: str
) -> None:
    await stores.put_index("flask")
    await stores.put_index("large", b" " * PAGE)
    facts = await stores.put_artifact("big", WHEEL, b"x" * LARGE)
    path = f"/pypi/files/big/{facts.sha256}/{WHEEL}".encode()
    request = STANDING_STILL[way].replace(b"%s", path)

    for _ in range(3):  # the first use is checked, and the next ones are hits
        assert _hit(gateway.port, "127.0.0.2")[0] == 200
        assert (await asyncio.to_thread(gateway.request, path.decode())).complete

    def attack() -> list[tuple[int, float]]:
        with _crowd(gateway.port, request):
            return [_hit(gateway.port, "127.0.0.2") for _ in range(5)]

    answers = await asyncio.to_thread(attack)
    assert [status for status, _ in answers] == [200] * 5


async def test_slow_clients__nobody_takes_the_answer__the_connection_ends_and_others_stay(
    store_settings: dict[str, str], stores: Stores, tmp_path: Path
) -> None:
    facts = await stores.put_artifact("big", WHEEL, b"x" * LARGE)
    path = f"/pypi/files/big/{facts.sha256}/{WHEEL}".encode()
    settings = {**store_settings, "ORCHARD_CLIENT_STALL": "1.5", "ORCHARD_CLIENT_MIN_RATE_BYTES": "100000"}

    def broken_off(port: int) -> bool:
        with _connect(port, "127.0.0.1") as unread, _connect(port, "127.0.0.1") as read:
            for connection in (unread, read):
                connection.sendall(b"GET " + path + HEAD + b"\r\n")
            time.sleep(0.5)
            assert read_response(read).complete
            deadline = time.monotonic() + 15
            while time.monotonic() < deadline:
                time.sleep(0.2)
                with contextlib.suppress(OSError):
                    if unread.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == CLOSED:
                        return True
            return False

    with running_gateway(settings, tmp_path) as gateway:
        assert await asyncio.to_thread(broken_off, gateway.port)


async def test_bodies__one_that_stops__408_and_the_connection_ends(
    store_settings: dict[str, str], tmp_path: Path
) -> None:
    with running_gateway({**store_settings, "ORCHARD_BODY_TIMEOUT": "1"}, tmp_path) as gateway:
        for way in ("bodies that never come", "bodies of the API"):
            with _connect(gateway.port, "127.0.0.1") as connection:
                connection.sendall(STANDING_STILL[way])
                answer = await asyncio.to_thread(read_response, connection)
                assert (answer.status, b"request_too_slow" in answer.body) == (408, True), way
                assert connection.recv(1) == b""


async def test_bodies__larger_than_the_address_takes__413_before_it_is_read(gateway: GatewayProcess) -> None:
    for path, most in (
        (b"/api/v1/admin/blocks", 64 << 10),
        (b"/api/v1/ensure", 16 << 20),
        (b"/api/v1/resolve", 1 << 20),
        (b"/npm/-/npm/v1/security/audits/quick", 8 << 20),
    ):
        with _connect(gateway.port, "127.0.0.1") as connection:
            connection.sendall(b"POST " + path + HEAD + b"Content-Length: %d\r\n\r\n" % (most + 1))
            answer = await asyncio.to_thread(read_response, connection)
            assert (answer.status, b"request_too_large" in answer.body) == (413, True), path


async def test_bodies__memory_of_one_client_is_used_up__503_for_it_alone(
    store_settings: dict[str, str], tmp_path: Path
) -> None:
    settings = {**store_settings, "ORCHARD_BODY_BUDGET_BYTES": str(16 << 20)}
    request = STANDING_STILL["bodies that never come"].replace(b"100000", b"8388608") + b" " * (5 << 20)

    def answers(port: int) -> tuple[list[RawResponse], RawResponse]:
        with _connect(port, "127.0.0.1") as first, _connect(port, "127.0.0.1") as second:
            for each in (first, second):
                with contextlib.suppress(OSError):
                    each.sendall(request)
            with _connect(port, "127.0.0.2") as other:
                other.sendall(STANDING_STILL["bodies that never come"].replace(b"100000", b"1"))
                return [read_response(first), read_response(second)], read_response(other)

    with running_gateway(settings, tmp_path) as gateway:
        both, other = await asyncio.to_thread(answers, gateway.port)
        # Whose bytes came first goes on, and is told only that the rest never came.
        assert sorted((each.status, b'"overloaded"' in each.body) for each in both) == [
            (408, False),
            (503, True),
        ]
        assert b'"overloaded"' not in other.body


def test_look__connections_run_short__an_address_keeps_its_share_and_what_waits_for_us() -> None:
    pairs = [socket.create_server(("127.0.0.1", 0))]
    port = pairs[0].getsockname()[1]
    with pairs[0] as listener, contextlib.ExitStack() as stack:
        clients, served = [], []
        for _ in range(6):
            clients.append(stack.enter_context(socket.create_connection(("127.0.0.1", port))))
            served.append(stack.enter_context(listener.accept()[0]))
        watcher = SlowClients(
            port=port, capacity=8, share=2, stall_seconds=30, min_rate_bytes=1, proxies=(),
            look=lambda: [Flow(each.fileno(), False, 0, 10) for each in served],
        )  # fmt: skip
        watcher.busy.add(("127.0.0.1", str(clients[0].getsockname()[1])))
        assert watcher.look(100.0)
        assert not _ended(clients)  # they have just come
        watcher.look(101.0)
        assert _ended(clients) == [1, 2, 3]  # the first is being answered


def _ended(clients: Iterable[socket.socket]) -> list[int]:
    found = []
    for number, each in enumerate(clients):
        each.setblocking(False)
        try:
            each.recv(1)
        except BlockingIOError:
            continue
        except ConnectionResetError:
            pass
        found.append(number)
    return found
