"""A gateway that was told to stop: not ready at once, answering meanwhile, closing connections cleanly."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import time
from pathlib import Path

from tests.services.gateway.conftest import Stores
from tests.support.gateway import GatewayProcess, RawResponse, read_response, running_gateway

JSON = "application/vnd.pypi.simple.v1+json"


def _on(connection: socket.socket, path: str) -> RawResponse:
    connection.sendall(f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\naccept: {JSON}\r\n\r\n".encode())
    return read_response(connection)


def _worker_ready(gateway: GatewayProcess) -> int:
    return gateway.request("/health/ready", timeout=3).status


async def test_sigterm__during_the_notice__not_ready_answers_everything_and_closes_after_it(
    store_settings: dict[str, str], stores: Stores, tmp_path: Path
) -> None:
    await stores.put_index("warm")
    with (
        running_gateway(store_settings | {"ORCHARD_DRAIN_NOTICE": "6"}, tmp_path) as gateway,
        contextlib.ExitStack() as opened,
    ):
        kept = [
            opened.enter_context(socket.create_connection(("127.0.0.1", gateway.port), timeout=10))
            for _ in range(3)
        ]
        for connection in kept:  # the hot page, once from the cache and then from memory
            reply = await asyncio.to_thread(_on, connection, "/pypi/simple/warm/")
            assert (reply.status, reply.headers.get("connection")) == (200, None)
        gateway.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + 2
        while await asyncio.to_thread(_worker_ready, gateway) == 200:
            assert time.monotonic() < deadline
        for connection, path in zip(
            kept, ("/pypi/simple/warm/", "/health/live", "/pypi/nothing/here"), strict=True
        ):
            reply = await asyncio.to_thread(_on, connection, path)
            assert reply.status in (200, 404)
            assert reply.headers["connection"] == "close"
            assert await asyncio.to_thread(connection.recv, 1) == b"", "and so it is"
        fresh = await asyncio.to_thread(gateway.request, "/pypi/simple/warm/", accept=JSON)
        assert fresh.status == 200, "who had not heard of it yet is answered too"
        assert await asyncio.to_thread(gateway.process.wait, 10) == 0
        with contextlib.closing(socket.socket()) as late:
            assert late.connect_ex(("127.0.0.1", gateway.port)) != 0


async def test_sigterm_twice__it_stops_once_and_well(store_settings: dict[str, str], tmp_path: Path) -> None:
    with running_gateway(store_settings, tmp_path) as gateway:
        gateway.process.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.1)
        gateway.process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(gateway.process.wait, 15) == 0
        assert "Traceback" not in gateway.output()
