"""A deferred job is woken when the jobs that it waits for have ended, once, and not before."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from services.extractor.wakeups import Wakeups
from shared.events import Event
from shared.jobs import AnyJob, Resolve

JOB = Resolve(protocol="pypi", key="0" * 64)


class Queue:
    """The two methods that are used; counts what is enqueued."""

    def __init__(self) -> None:
        self.enqueued: list[str] = []

    async def enqueue(self, job: AnyJob) -> bool:
        self.enqueued.append(job.id)
        return False

    async def read_state(self, job_id: str) -> tuple[None, None]:
        return None, None


class Listener:
    """Hands events to who registered."""

    def __init__(self) -> None:
        self.callbacks: dict[str, Callable[[Event], None]] = {}

    def register(self, job_id: str, callback: Callable[[Event], None]) -> None:
        self.callbacks[job_id] = callback

    def unregister(self, job_id: str, callback: Callable[[Event], None]) -> None:
        self.callbacks.pop(job_id, None)


async def _soon(check: Callable[[], bool], pause: Callable[[float], Awaitable[None]] = asyncio.sleep) -> bool:
    for _ in range(200):
        if check():
            return True
        await pause(0.005)
    return False


async def test_all_ended__woken_once_and_nothing_left_registered() -> None:
    queue, listener = Queue(), Listener()
    wakeups = Wakeups(queue, listener)  # type: ignore[arg-type]
    wakeups.when_ended(JOB, ["one", "two"])
    listener.callbacks["one"](Event("one", "live", 1))
    listener.callbacks["two"](Event("two", "done", 1))
    await asyncio.sleep(0.03)
    assert queue.enqueued == []
    listener.callbacks["one"](Event("one", "failed", 1))
    assert await _soon(lambda: queue.enqueued == [JOB.id])
    assert listener.callbacks == {}
    await wakeups.aclose()


async def test_asked_again_or_forgotten__the_earlier_wait_is_gone() -> None:
    queue, listener = Queue(), Listener()
    wakeups = Wakeups(queue, listener)  # type: ignore[arg-type]
    wakeups.when_ended(JOB, ["one"])
    wakeups.when_ended(JOB, ["two"])
    assert set(listener.callbacks) == {"two"}
    wakeups.forget(JOB.id)
    assert listener.callbacks == {}
    await wakeups.aclose()


async def test_some_may_be_left__woken_before_the_last_has_ended() -> None:
    queue, listener = Queue(), Listener()
    wakeups = Wakeups(queue, listener)  # type: ignore[arg-type]
    wakeups.when_ended(JOB, ["one", "two", "three"], most_left=1)
    listener.callbacks["one"](Event("one", "done", 1))
    assert set(listener.callbacks) == {"one", "two", "three"}
    listener.callbacks["three"](Event("three", "done", 1))
    assert await _soon(lambda: queue.enqueued == [JOB.id])
    assert listener.callbacks == {}
    await wakeups.aclose()
