"""Wakes a deferred job as soon as the jobs that it waits for have ended, so that it polls rarely.

An event is a hint: the deferral itself is the backstop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from shared.clients.queue import EventListener, JobQueue
from shared.errors import OrchardError
from shared.events import Event
from shared.jobs import AnyJob
from shared.logs import get_logger

log = get_logger()

# The waiting job is given back just after it asked for this; until then it cannot be woken.
PAUSES_SECONDS = (0.005, 0.05, 0.25)


class Wakeups:
    """Of one process. `listener` must be open."""

    def __init__(self, queue: JobQueue, listener: EventListener) -> None:
        self._queue = queue
        self._listener = listener
        self._waiting: dict[str, _Wakeup] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def when_ended(self, waiting: AnyJob, job_ids: Collection[str], *, most_left: int = 0) -> None:
        """Enqueue `waiting` once all of these jobs but `most_left` have ended; replaces what was asked for
        it before."""
        self.forget(waiting.id)
        self._waiting[waiting.id] = _Wakeup(self, waiting, set(job_ids), most_left)

    def forget(self, job_id: str) -> None:
        """Nobody waits under this id any more."""
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

    def start(self, job: AnyJob) -> None:
        """Wake a job now."""
        self.forget(job.id)
        task = asyncio.create_task(self._wake(job), name=f"wake {job.id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _wake(self, job: AnyJob) -> None:
        for pause in PAUSES_SECONDS:
            await asyncio.sleep(pause)
            claim, _ = await self._state(job)
            if claim is None:
                break
        try:
            await self._queue.enqueue(job)
        except OrchardError as error:
            log.debug("wakeup_failed", job_id=job.id, code=error.code)

    async def _state(self, job: AnyJob) -> tuple[object, object]:
        try:
            return await self._queue.read_state(job.id)
        except OrchardError:
            return None, None

    @property
    def listener(self) -> EventListener:
        return self._listener


class _Wakeup:
    def __init__(self, owner: Wakeups, job: AnyJob, left: set[str], most_left: int) -> None:
        self._owner = owner
        self._job = job
        self._ids = frozenset(left)
        self._left = left
        self._most_left = most_left
        for job_id in self._ids:
            owner.listener.register(job_id, self._heard)

    def _heard(self, event: Event) -> None:
        if event.kind == "live":
            return
        self._left.discard(event.job_id)
        if len(self._left) <= self._most_left:
            self._owner.start(self._job)

    def unregister(self) -> None:
        for job_id in self._ids:
            self._owner.listener.unregister(job_id, self._heard)
