"""A server that does not answer is left alone until a probe is answered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from shared.process.circuit import Circuit

PAUSE = 0.02


class Server:
    """What a probe meets: one worth after the other, then answers."""

    def __init__(self) -> None:
        self.probes = 0
        self.worth: list[int] = []
        self.changes: list[bool] = []
        self.changed = asyncio.Event()
        self.circuit = Circuit(
            self._probe, name="test", silences=2, pause_seconds=PAUSE, on_change=self._on_change
        )

    async def _probe(self) -> int:
        self.probes += 1
        if self.worth and self.worth[0] < 0:
            raise ValueError("not foreseen")
        return self.worth.pop(0) if self.worth else 0

    async def _on_change(self, is_open: bool) -> None:
        self.changes.append(is_open)
        self.changed.set()

    async def until(self, *changes: bool) -> None:
        async with asyncio.timeout(30):
            while self.changes != list(changes):
                self.changed.clear()
                await self.changed.wait()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    yield server
    await server.circuit.aclose()


async def test_silences__in_a_row__open_it_until_a_probe_is_answered(server: Server) -> None:
    server.worth = [1, 1]
    server.circuit.silent()
    assert not server.circuit.is_open
    server.circuit.silent()
    assert server.circuit.is_open  # at once
    server.circuit.answered()  # a late answer of before
    assert server.circuit.is_open
    await server.until(True, False)
    assert not server.circuit.is_open
    assert server.probes == 3


async def test_silences__with_an_answer_between__do_not_open_it(server: Server) -> None:
    for _ in range(5):
        server.circuit.silent()
        server.circuit.answered()
    await asyncio.sleep(2 * PAUSE)
    assert not server.circuit.is_open
    assert not server.probes


async def test_suspect__asks_at_once__calls_go_on_until_the_probes_say_otherwise(server: Server) -> None:
    server.worth = [1, 1]
    server.circuit.suspect()
    server.circuit.suspect()
    assert not server.circuit.is_open
    await server.until(True, False)
    assert server.probes == 3


async def test_suspect__it_answers__nothing_changes(server: Server) -> None:
    server.circuit.suspect()
    async with asyncio.timeout(30):
        while not server.probes:
            await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not server.circuit.is_open
    assert server.changes == []


async def test_probe__breaks__the_way_is_open_again(server: Server) -> None:
    server.worth = [-1]
    server.circuit.silent(2)
    await server.until(True, False)


async def test_closed__probes_no_more(server: Server) -> None:
    server.circuit.silent(2)
    await server.circuit.aclose()
    server.circuit.silent(2)
    server.circuit.suspect()
    await asyncio.sleep(2 * PAUSE)
    assert not server.probes
