"""How a transfer ends that must not end well, on a raw socket under real granian.

The relay relies on it: an application that returns (or raises) without its last body message makes
granian close the connection, with neither a final chunk nor the announced length.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.gateway import free_port, raw_request

APPLICATION = """
import asyncio

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    _, way, framing = scope["path"].split("/")
    headers = [(b"content-length", b"100000")] if framing == "length" else []
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"a" * 5000, "more_body": True})
    await asyncio.sleep(0.05)
    if way == "raise":
        raise RuntimeError("broken off")
    if way == "finish":
        await send({"type": "http.response.body", "body": b"", "more_body": False})
"""


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    folder: Path = tmp_path_factory.mktemp("granian")
    (folder / "breaking_app.py").write_text(APPLICATION)
    chosen = free_port()
    command = [
        sys.executable, "-m", "granian", "--interface", "asgi", "--http", "1", "--no-ws", "--loop", "uvloop",
        "--port", str(chosen), "breaking_app:app",
    ]  # fmt: skip
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", chosen), timeout=1).close()
            break
        except OSError:
            time.sleep(0.05)
    yield chosen
    process.terminate()
    process.wait(15)


@pytest.mark.parametrize("way", ["return", "raise"])
@pytest.mark.parametrize("framing", ["chunked", "length"])
def test_transfer__broken_off__closes_without_an_end(port: int, way: str, framing: str) -> None:
    reply = raw_request(port, f"/{way}/{framing}")
    assert reply.status == 200
    assert ("transfer-encoding" in reply.headers) == (framing == "chunked")
    assert reply.body == b"a" * 5000  # what had been sent arrives
    assert not reply.complete


def test_transfer__ended_regularly__has_its_final_chunk(port: int) -> None:
    reply = raw_request(port, "/finish/chunked")
    assert (reply.complete, len(reply.body)) == (True, 5000)
