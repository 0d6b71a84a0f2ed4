"""Wakes a deferred job as soon as the jobs that it waits for have ended, so that it polls rarely.

An event is a hint: the deferral itself is the backstop.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Collection

from shared.errors import OrchardError
from shared.queue.events import Event
from shared.queue.jobs import AnyJob
from shared.queue.listener import EventListener
from shared.queue.producer import JobQueue
from shared.queue.waiting import GAP_SPREAD_SECONDS
from shared.telemetry.logs import get_logger

log = get_logger()

PAUSES_SECONDS = (0.005, 0.05, 0.25)
"""The waiting job is given back just after it asked to be woken; as long as it runs it cannot be."""


class Wakeups:
    """The wakeups of one process. `listener` must be open."""

    def __init__(self, queue: JobQueue, listener: EventListener) -> None:
        self._queue = queue
        self._listener = listener
        self._waiting: dict[str, _Waiting] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        listener.on_gap.append(self._gap)

    def when_ended(self, waiting: AnyJob, job_ids: Collection[str], *, most_left: int = 0) -> None:
        """Enqueue `waiting` once all of these jobs but `most_left` have ended; replaces what was asked for
        it before."""
        self.forget(waiting.id)
        self._waiting[waiting.id] = _Waiting(self, waiting, job_ids, most_left)

    def forget(self, job_id: str) -> None:
        """Forget the wakeup of this id."""
        known = self._waiting.pop(job_id, None)
        if known is not None:
            known.unregister()

    async def aclose(self) -> None:
        """Stop waking."""
        for job_id in list(self._waiting):
            self.forget(job_id)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(self, job: AnyJob, after_seconds: float = 0.0) -> None:
        self.forget(job.id)
        task = asyncio.create_task(self._wake(job, after_seconds), name=f"wake {job.id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _wake(self, job: AnyJob, after_seconds: float) -> None:
        await asyncio.sleep(after_seconds)
        for pause in PAUSES_SECONDS:
            await asyncio.sleep(pause)
            try:
                if (await self._queue.enqueue(job)).claim is None:
                    return
            except OrchardError as error:
                log.debug("wakeup_failed", job_id=job.id, code=error.code)

    def _gap(self) -> None:
        """Events may have been missed: every waiting job is enqueued to check for itself, spread over a
        moment."""
        for waiting in list(self._waiting.values()):
            self._start(waiting.job, random.uniform(0, GAP_SPREAD_SECONDS))


class _Waiting:
    def __init__(self, owner: Wakeups, job: AnyJob, job_ids: Collection[str], most_left: int) -> None:
        self.job = job
        self._owner = owner
        self._ids = frozenset(job_ids)
        self._left = set(job_ids)
        self._most_left = most_left
        for job_id in self._ids:
            owner._listener.register(job_id, self._heard)

    def _heard(self, event: Event) -> None:
        if event.kind == "live":
            return
        self._left.discard(event.job_id)
        if len(self._left) <= self._most_left:
            self._owner._start(self.job)

    def unregister(self) -> None:
        for job_id in self._ids:
            self._owner._listener.unregister(job_id, self._heard)
