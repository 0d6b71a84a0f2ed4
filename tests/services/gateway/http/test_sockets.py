"""A gateway accepts only as many connections as its limit of open files carries, and knows who is there."""

from __future__ import annotations

import asyncio
import resource
import socket
from collections.abc import Iterator

import pytest

from services.gateway.http import responses, sockets
from shared.errors import ConfigurationError


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[int, int]]]:
    """The limit that holds, last, as the kernel would keep it."""
    held = [(256, 1024)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: held[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: held.append(limits))
    yield held


def test_connections__soft_limit_is_raised_and_connections_fit_the_hard_one(
    limits: list[tuple[int, int]],
) -> None:
    connections = sockets.connections_for(2048)
    assert limits[-1] == (1024, 1024)
    assert sockets.LEAST_CONNECTIONS < connections < 1024 // 3


def test_connections__enough_descriptors__all(limits: list[tuple[int, int]]) -> None:
    limits[:] = [(1024, 20_000)]
    assert sockets.connections_for(2048) == 2048
    limits[:] = [(resource.RLIM_INFINITY, resource.RLIM_INFINITY)]
    assert sockets.connections_for(2048) == 2048
    assert len(limits) == 1


def test_connections__far_too_few__says_what_is_needed(limits: list[tuple[int, int]]) -> None:
    limits[:] = [(256, 300)]
    with pytest.raises(ConfigurationError, match=r"ulimit -Hn.*6400"):
        sockets.connections_for(2048)


def _ends(listener: socket.socket) -> tuple[socket.socket, socket.socket, sockets.Peer]:
    client = socket.create_connection(listener.getsockname())
    accepted, (host, port) = listener.accept()
    return client, accepted, (host, str(port))


def test_is_open__until_either_side_closes() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client, accepted, peer = _ends(listener)
        assert sockets.is_open(peer)
        client.close()
        accepted.recv(1)  # its end has come
        assert not sockets.is_open(peer)
        accepted.close()
        client, accepted, peer = _ends(listener)
        accepted.close()
        assert not sockets.is_open(peer)
        client.close()


async def test_until_disconnect__said_of_a_client_that_is_there__goes_by_the_kernel(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(responses, "LOOK_SECONDS", 0.01)

    async def receive() -> dict[str, str]:
        return {"type": "http.disconnect"}

    with socket.create_server(("127.0.0.1", 0)) as listener:
        client, accepted, peer = _ends(listener)
        gone = asyncio.create_task(responses.until_disconnect(receive, peer))
        await asyncio.sleep(0.1)
        assert not gone.done()
        client.close()
        await asyncio.wait_for(gone, 5)
        accepted.close()
    await asyncio.wait_for(responses.until_disconnect(receive, None), 5)
