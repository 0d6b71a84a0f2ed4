"""The worker threads: bounded, counted, closable."""

from __future__ import annotations

import asyncio
import threading

import pytest

from shared.errors.passing import ShuttingDown
from shared.process.threads import BoundedThreads


async def test_run__result_and_exception__pass_through() -> None:
    threads = BoundedThreads(1)
    assert await threads.run(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        await threads.run(divmod, 1, 0)
    await threads.aclose()


async def test_run__more_calls_than_threads__active_is_at_most_max() -> None:
    threads = BoundedThreads(2)
    gate = threading.Event()
    calls = [asyncio.create_task(threads.run(gate.wait)) for _ in range(5)]
    await asyncio.sleep(0.05)
    assert (threads.active, threads.max, threads.waiting) == (2, 2, 3)
    gate.set()
    await asyncio.gather(*calls)
    await asyncio.sleep(0.01)
    assert (threads.active, threads.waiting) == (0, 0)
    await threads.aclose()


async def test_run__cancelled__counts_until_the_thread_is_free() -> None:
    threads = BoundedThreads(1)
    gate = threading.Event()
    running = asyncio.create_task(threads.run(gate.wait))
    waiting = asyncio.create_task(threads.run(gate.wait))
    await asyncio.sleep(0.05)
    for task in (running, waiting):
        task.cancel()
    await asyncio.gather(running, waiting, return_exceptions=True)
    await asyncio.sleep(0.01)
    assert threads.active == 1
    gate.set()
    await threads.aclose()
    assert threads.active == 0


async def test_run__after_close__shutting_down() -> None:
    threads = BoundedThreads(1)
    await threads.aclose()
    with pytest.raises(ShuttingDown):
        await threads.run(int)
