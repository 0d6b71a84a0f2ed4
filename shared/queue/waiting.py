"""Waiting for jobs: one watch per job id in this process, whatever the number of those who wait.

The order avoids lost wake-ups: subscribe, check for the result, enqueue, wait. A result from before the
subscription is found by the check, a later one is notified. Since notifications may be lost, every watch
also polls, and at once when the subscription was interrupted.

The generation rule: generations only rise, so an outcome ends a wait when its generation is higher than that
of the last run that had ended when the job was enqueued (`Enqueued.before`).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

from shared.errors import OrchardError
from shared.queue.events import Event
from shared.queue.jobs import AnyJob
from shared.queue.listener import EventListener
from shared.queue.producer import JobQueue
from shared.telemetry.logs import get_logger

log = get_logger()

FIRST_POLL_SECONDS = 0.25
LAST_POLL_SECONDS = 1.0
GAP_SPREAD_SECONDS = 0.2
"""After a gap in the subscription all watches look again, spread over so long: not in one turn."""
CLOCK_SECONDS = 2.0  # how far Redis's clock may be behind ours

Until = Callable[[], Awaitable[bool]]
"""Whether the result is there. May raise `OrchardError`, which ends the wait."""


class _Watch:
    """All waiters of one job in this process."""

    __slots__ = ("driver", "gap", "job", "live", "untils", "waiters")

    def __init__(self, job: AnyJob) -> None:
        self.job = job
        self.waiters: dict[asyncio.Future[Event], bool] = {}  # → whether `live` ends the wait
        self.untils: dict[asyncio.Future[Event], Until] = {}
        self.driver: asyncio.Task[None] | None = None
        self.live: Event | None = None  # the last one, for those that join later
        self.gap = asyncio.Event()  # the subscription was interrupted: look now

    def deliver(self, event: Event) -> None:
        """Wake the waiters that this event concerns."""
        if event.kind == "live":
            self.live = event
        for waiter, live in list(self.waiters.items()):
            if not waiter.done() and (live or event.kind != "live"):
                waiter.set_result(event)

    def fail(self, error: OrchardError) -> None:
        for waiter in list(self.waiters):
            if not waiter.done():
                waiter.set_exception(type(error)(error.message))

    async def pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self.gap.wait()
                await asyncio.sleep(random.uniform(0, GAP_SPREAD_SECONDS))
        except TimeoutError:
            pass
        self.gap.clear()


class JobWaiter:
    """One per process and queue Redis. `listener` must be open."""

    def __init__(self, queue: JobQueue, listener: EventListener, *, limit: int = 0) -> None:
        """`limit`: jobs ready in one queue before new ones are refused; 0: none."""
        self._queue = queue
        self._listener = listener
        self._limit = limit
        self._watches: dict[str, _Watch] = {}
        listener.on_gap.append(self._gap)

    def is_waited_for(self, job_id: str) -> bool:
        """Whether anyone in this process waits for this job."""
        return job_id in self._watches

    async def wait(
        self,
        job: AnyJob,
        *,
        timeout: float,
        until: Until | None = None,
        live: bool = False,
        starting: Callable[[], None] | None = None,
    ) -> Event:
        """Enqueue a job, or join it, and return how it ended: `done` or `failed`.

        `until` is asked before the job is enqueued, and again when nothing is known of it: True is `done`, of
        generation 0. `live`: also return as soon as its bytes can be read. `starting` is called before the
        first of those who wait enqueues; what it raises is raised.

        Cancelling this leaves the job alone. Raises `TimeoutError` after `timeout` seconds, `QueueFull`,
        `QueueUnavailable`.
        """
        watch = self._watches.get(job.id)
        if watch is None:
            watch = self._watches[job.id] = _Watch(job)
            self._listener.register(job.id, self._heard)
        waiter: asyncio.Future[Event] = asyncio.get_running_loop().create_future()
        watch.waiters[waiter] = live
        if until is not None:
            watch.untils[waiter] = until
        try:
            async with asyncio.timeout(timeout):
                if until is not None and await until():
                    return Event(job.id, "done", 0)
                if waiter.done():
                    return await waiter  # notified while we checked
                if watch.driver is None:
                    if starting is not None:
                        starting()
                    watch.driver = asyncio.create_task(self._drive(watch), name=f"wait {job.id}")
                elif job.asks_more_than(watch.job):
                    watch.job = job
                    await self._queue.enqueue(job, limit=self._limit)
                if live and watch.live is not None and not waiter.done():
                    return watch.live
                return await waiter
        finally:
            watch.waiters.pop(waiter, None)
            watch.untils.pop(waiter, None)
            if waiter.done() and not waiter.cancelled():
                waiter.exception()  # retrieved, even when the wait had ended otherwise
            if not watch.waiters:
                self._end(watch)
                if watch.driver is not None:
                    watch.driver.cancel()

    # --- one watch ----------------------------------------------------------------------------------

    async def _drive(self, watch: _Watch) -> None:
        """Enqueue, then poll for what no notification announced."""
        try:
            queued = await self._queue.enqueue(watch.job, limit=self._limit)
        except OrchardError as error:
            watch.fail(error)
            self._end(watch)
            return
        if self._take(watch, queued.outcome, queued.before):
            return
        pause = FIRST_POLL_SECONDS
        while True:
            await watch.pause(pause)
            pause = min(pause * 1.5, LAST_POLL_SECONDS)
            try:
                if await self._look(watch, queued.before):
                    return
            except OrchardError as error:
                log.debug("job_poll_failed", job_id=watch.job.id, code=error.code)

    async def _look(self, watch: _Watch, before: int) -> bool:
        """One poll; True when the job has ended."""
        job = watch.job
        claim, outcome = await self._queue.read_state(job.id)
        if self._take(watch, outcome, before):
            return True
        if claim is not None:
            if outcome is None and job.relayed and claim.address:
                # Its `live` event was lost, or is older than what is kept: the claim says enough.
                watch.deliver(
                    Event(job.id, "live", claim.generation, address=claim.address, token=claim.token)
                )
            return False
        for until in list(watch.untils.values())[:1]:
            if await until():
                watch.deliver(Event(job.id, "done", 0))
                self._end(watch)
                return True
        # Neither running nor ended: the queue was emptied, or it still waits its turn. Enqueueing
        # again does nothing in the second case.
        await self._queue.enqueue(job)
        return False

    def _take(self, watch: _Watch, outcome: Event | None, before: int) -> bool:
        """Deliver an outcome that counts; True when it ends the job."""
        if outcome is None or outcome.generation <= before:
            return False
        watch.deliver(outcome)
        if outcome.kind == "live":
            return False
        self._end(watch)
        return True

    def _heard(self, event: Event) -> None:
        watch = self._watches.get(event.job_id)
        if watch is not None:
            watch.deliver(event)
            if event.kind != "live":
                self._end(watch)

    def _end(self, watch: _Watch) -> None:
        """Drop the watch: the job ended, or nobody waits any more; later waiters make a new one."""
        if self._watches.get(watch.job.id) is watch:
            del self._watches[watch.job.id]
            self._listener.unregister(watch.job.id, self._heard)

    def _gap(self) -> None:
        for watch in self._watches.values():
            watch.gap.set()


async def outcome_since(
    queue: JobQueue, job_id: str, asked_at: float | None, *, before: int = 0
) -> Event | None:
    """The outcome of a job since it was enqueued (unix seconds); None while it has none that is stored.

    For jobs that another job has enqueued in an earlier run: they know when, not what had ended by then. An
    outcome up to `before` was dealt with. Raises `QueueUnavailable`.
    """
    if asked_at is None:
        return None
    claim, event = await queue.read_state(job_id)
    if claim is not None or event is None or event.kind == "live":
        return None
    # Generations are microseconds of Redis's clock.
    return event if event.generation > max(before, (asked_at - CLOCK_SECONDS) * 1_000_000) else None
