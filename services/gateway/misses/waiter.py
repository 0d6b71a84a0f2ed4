"""Waiting for jobs on behalf of clients: bounds their number and what they start, and measures the time.

The waiting itself is the queue's (shared/queue/waiting.py).
"""

from __future__ import annotations

import time
from typing import Protocol

from shared.errors import OrchardError
from shared.errors.passing import QueueFull
from shared.queue.events import Event
from shared.queue.jobs import AnyJob
from shared.queue.listener import EventListener
from shared.queue.producer import JobQueue
from shared.queue.waiting import JobWaiter, Until
from shared.telemetry import metrics
from shared.telemetry.logs import get_logger

log = get_logger()

MAX_WAITING = 10_000
"""Requests waiting at once in one gateway; more are answered 503."""


class Budgets(Protocol):
    """The part of the clients' budgets that is used here."""

    def start(self, job: AnyJob) -> None: ...

    def came(self, size_bytes: int | None) -> None: ...


class Askers(Protocol):
    """The part of `door/askers.py` that is used here."""

    def told(self, job: AnyJob) -> AnyJob: ...


class MissWaiter:
    """Fulfils the port `Misses` over the queue and the shared subscription."""

    def __init__(
        self,
        queue: JobQueue,
        listener: EventListener,
        *,
        queue_limit: int = 0,
        max_waiting: int = MAX_WAITING,
        budgets: Budgets | None = None,
        askers: Askers | None = None,
    ) -> None:
        """`queue_limit`: jobs ready in one queue before new ones are refused; 0 = no limit. `budgets`: of
        clients, for what they start. `askers`: says of jobs for whom they are started."""
        self._askers = askers
        self._budgets = budgets
        self._queue = queue
        self._queue_limit = queue_limit
        self._jobs = JobWaiter(queue, listener, limit=queue_limit)
        self._max_waiting = max_waiting
        self.waiting = 0

    def is_waited_for(self, job_id: str) -> bool:
        """Whether a request waits for this job."""
        return self._jobs.is_waited_for(job_id)

    async def is_known(self, job_id: str) -> bool:
        """Whether a job waits, is deferred or runs. Raises `QueueUnavailable`."""
        return await self._queue.is_known(job_id)

    async def failure(self, job_id: str) -> Event | None:
        """How a job failed some seconds ago, None if it did not. Raises `QueueUnavailable`."""
        claim, event = await self._queue.read_state(job_id)
        return event if claim is None and event is not None and event.kind == "failed" else None

    async def start(self, job: AnyJob) -> None:
        """Enqueue without waiting. Errors of the queue are only logged: the client is served what is
        cached."""
        if self._jobs.is_waited_for(job.id):
            return
        try:
            await self._queue.enqueue(job, limit=self._queue_limit)
        except OrchardError as error:
            log.debug("background_enqueue_failed", job_id=job.id, code=error.code)

    async def wait(self, job: AnyJob, *, until: Until, timeout: float, live: bool = False) -> Event:
        """See the port. Cancelling it frees the waiter and leaves the job alone."""
        if self.waiting >= self._max_waiting:
            raise QueueFull("too many requests are waiting in this gateway")
        starts = False

        def starting() -> None:
            nonlocal starts
            if self._budgets is not None:
                self._budgets.start(job)
                starts = True

        if self._askers is not None:
            job = self._askers.told(job)
        self.waiting += 1
        started = time.perf_counter()
        outcome = "cancelled"
        try:
            event = await self._jobs.wait(job, timeout=timeout, until=until, live=live, starting=starting)
            outcome = event.kind if event.generation else "found"
            if starts and live and self._budgets is not None:
                self._budgets.came(event.size_bytes)
            return event
        except TimeoutError:
            outcome = "deadline"
            raise
        except OrchardError as error:
            outcome = error.code
            raise
        finally:
            self.waiting -= 1
            metrics.MISS_WAIT.labels(outcome).observe(time.perf_counter() - started)
