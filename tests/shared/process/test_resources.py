"""Opened in order, closed in reverse, whatever fails."""

from __future__ import annotations

import asyncio
import time

import pytest

from shared.errors import ConfigurationError
from shared.process.resources import Resources


class Resource:
    def __init__(self, name: str, events: list[str], *, fail_open: bool = False, close: str = "") -> None:
        self.name, self.events, self.fail_open, self.close = name, events, fail_open, close

    async def open(self) -> None:
        self.events.append(f"open {self.name}")
        if self.fail_open:
            raise ConfigurationError("ORCHARD_PORT: taken")

    async def aclose(self) -> None:
        self.events.append(f"close {self.name}")
        if self.close == "raises":
            raise RuntimeError("cannot close")
        while self.close.startswith("hangs"):
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                if self.close == "hangs":
                    raise
                self.close = "hangs no more the second time"
                await asyncio.sleep(2)
                return


async def test_resources__end_of_block__closed_in_reverse() -> None:
    events: list[str] = []
    async with Resources() as resources:
        for name in "abc":
            await resources.open(name, Resource(name, events))
        assert repr(resources) == "Resources(a, b, c)"
    assert events == ["open a", "open b", "open c", "close c", "close b", "close a"]


async def test_resources__one_open_fails__earlier_ones_closed() -> None:
    events: list[str] = []
    with pytest.raises(ConfigurationError):
        async with Resources() as resources:
            await resources.open("a", Resource("a", events))
            await resources.open("b", Resource("b", events, fail_open=True))
    assert events == ["open a", "open b", "close b", "close a"]


async def test_resources__closes_fail_and_hang__the_rest_is_closed() -> None:
    events: list[str] = []
    started = time.monotonic()
    async with Resources(close_seconds=0.1) as resources:
        await resources.open("a", Resource("a", events))
        await resources.open("b", Resource("b", events, close="hangs"))
        await resources.open("c", Resource("c", events, close="raises"))
        await resources.open("d", Resource("d", events, close="hangs on though cancelled"))
    assert events[4:] == ["close d", "close c", "close b", "close a"]
    assert time.monotonic() - started < 10


async def test_resources__cancelled_while_closing__closes_all_first() -> None:
    events: list[str] = []

    async def run() -> None:
        async with Resources(close_seconds=0.2) as resources:
            await resources.open("a", Resource("a", events))
            await resources.open("b", Resource("b", events, close="hangs"))

    task = asyncio.create_task(run())
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert events[-1] == "close a"
