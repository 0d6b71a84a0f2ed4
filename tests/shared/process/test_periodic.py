"""Periodic work goes on whatever a turn raises, and ends with its owner."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import pytest

from shared.errors.passing import DatabaseUnavailable
from shared.process.periodic import NEVER, Backoff, Every

LONG = 3600.0


class Turns:
    """Work that counts its turns; `act` is called with the number of each."""

    def __init__(self, act: Callable[[int], float | None] = lambda _: None) -> None:
        self.count = 0
        self._act = act
        self._changed = asyncio.Condition()

    async def work(self) -> float | None:
        self.count += 1
        async with self._changed:
            self._changed.notify_all()
        return self._act(self.count)

    async def reached(self, count: int) -> None:
        async with asyncio.timeout(30), self._changed:
            await self._changed.wait_for(lambda: self.count >= count)


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_turns__come_at_intervals__the_first_after_one() -> None:
    turns = Turns()
    every = Every(0.05, turns.work, name="test")
    began = asyncio.get_running_loop().time()
    await every.open()
    await turns.reached(3)
    assert asyncio.get_running_loop().time() - began >= 0.14
    await every.aclose()


async def test_first_turn__zero_seconds__at_once() -> None:
    turns = Turns()
    every = Every(LONG, turns.work, name="test", first_seconds=0)
    await every.open()
    await turns.reached(1)
    await every.aclose()


async def test_pause__told_by_a_turn__holds_for_the_next() -> None:
    turns = Turns(lambda number: 0.0 if number < 5 else None)
    every = Every(LONG, turns.work, name="test", first_seconds=0)
    await every.open()
    await turns.reached(5)
    await settle()
    assert turns.count == 5
    await every.aclose()


async def test_never__no_turn_until_woken() -> None:
    turns = Turns(lambda _: NEVER)
    every = Every(0.0, turns.work, name="test", first_seconds=NEVER)
    await every.open()
    await settle()
    assert turns.count == 0
    every.wake()
    await turns.reached(1)
    await settle()
    assert turns.count == 1
    await every.aclose()


async def test_wake__during_a_turn__one_more_right_after() -> None:
    turns = Turns(lambda number: every.wake() if number == 1 else None)
    every = Every(LONG, turns.work, name="test", first_seconds=0)
    await every.open()
    await turns.reached(2)
    await settle()
    assert turns.count == 2
    await every.aclose()


@pytest.mark.parametrize("error", [DatabaseUnavailable("away"), ValueError("not foreseen")])
async def test_turn__raises__the_next_comes_after_the_retry_pause(error: Exception) -> None:
    def act(number: int) -> None:
        if number <= 2:
            raise error

    turns = Turns(act)
    every = Every(LONG, turns.work, name="test", first_seconds=0, retry_seconds=0.0)
    await every.open()
    await turns.reached(3)
    await settle()
    assert turns.count == 3
    await every.aclose()


async def test_aclose__in_the_middle_of_a_turn__ends_it() -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    every = Every(LONG, work, name="test", first_seconds=0)
    await every.open()
    await began.wait()
    await every.aclose()
    assert ended.is_set()
    assert "test" not in {task.get_name() for task in asyncio.all_tasks()}


async def test_aclose__never_opened_or_twice__nothing() -> None:
    every = Every(LONG, Turns().work, name="test")
    await every.aclose()
    await every.open()
    await every.aclose()
    await every.aclose()


async def test_aclose__the_turn_swallows_the_cancelling__ends_after_that_turn() -> None:
    begun = asyncio.Event()

    async def work() -> None:
        begun.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)

    every = Every(60.0, work, name="stubborn", first_seconds=0)
    await every.open()
    await begun.wait()
    async with asyncio.timeout(30):
        await every.aclose()


# --- pauses that grow -------------------------------------------------------------------------------


def test_pauses__double_up_to_the_last__less_up_to_a_half() -> None:
    backoff = Backoff(0.1, 0.5)
    for bound in (0.1, 0.2, 0.4, 0.5, 0.5):
        assert bound / 2 <= backoff.pause() <= bound


def test_pauses__are_not_the_same_everywhere() -> None:
    assert len({Backoff(1.0, 1.0).pause() for _ in range(20)}) > 10


def test_reset__begins_anew() -> None:
    backoff = Backoff(0.1, 10.0, factor=10.0)
    assert not backoff.begun
    for _ in range(3):
        backoff.pause()
    assert backoff.begun
    backoff.reset()
    assert not backoff.begun
    assert backoff.pause() <= 0.1
