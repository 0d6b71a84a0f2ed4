"""Waiting for jobs: one watch per job id in this process, whatever the number of waiting requests.

ARCHITECTURE.md "a miss": the local waiter is registered before the re-check and the enqueueing, so
that no notification falls between; and since a notification promises nothing, every wait also polls.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from shared import metrics
from shared.errors import DeadlineExceeded, OrchardError, QueueFull
from shared.events import Claim, Event
from shared.jobs import AnyJob, FetchArtifact, FetchIndex
from shared.logs import get_logger

log = get_logger()

FIRST_POLL_SECONDS = 0.25
LAST_POLL_SECONDS = 1.0
MAX_WAITING = 10_000
"""Requests waiting at once in one gateway; more are told to come back (503)."""

Until = Callable[[], Awaitable[bool]]


class Queue(Protocol):
    """What is used of `JobQueue`."""

    async def enqueue(self, job: AnyJob, *, limit: int = 0) -> bool: ...

    async def read_state(self, job_id: str) -> tuple[Claim | None, Event | None]: ...

    async def is_known(self, job_id: str) -> bool: ...


class Budgets(Protocol):
    """What is used of the clients' budgets."""

    def start(self, job: AnyJob) -> None: ...

    def came(self, size_bytes: int | None) -> None: ...


class Listener(Protocol):
    """What is used of `EventListener`."""

    def register(self, job_id: str, callback: Callable[[Event], None]) -> None: ...

    def unregister(self, job_id: str, callback: Callable[[Event], None]) -> None: ...


class _Watch:
    """All local requests that wait for one job."""

    __slots__ = ("background", "callback", "driver", "job", "live", "untils", "waiters")

    def __init__(self, job: AnyJob) -> None:
        self.job = job
        self.background = isinstance(job, FetchIndex) and job.background
        self.waiters: dict[asyncio.Future[Event], bool] = {}  # → whether `live` ends the wait
        self.untils: dict[asyncio.Future[Event], Until] = {}
        self.driver: asyncio.Task[None] | None = None
        self.callback: Callable[[Event], None] | None = None
        self.live: Event | None = None  # the last one, for requests that join later

    def deliver(self, event: Event) -> None:
        """Wake those whom this event concerns."""
        if event.kind == "live":
            self.live = event
        for waiter, live in list(self.waiters.items()):
            if not waiter.done() and (live or event.kind != "live"):
                waiter.set_result(event)

    def fail(self, error: OrchardError) -> None:
        for waiter in list(self.waiters):
            if not waiter.done():
                waiter.set_exception(type(error)(error.message))


class MissWaiter:
    """Fulfils the port `Misses` over the queue and the shared subscription."""

    def __init__(
        self,
        queue: Queue,
        listener: Listener,
        *,
        queue_limit: int = 0,
        max_waiting: int = MAX_WAITING,
        budgets: Budgets | None = None,
    ) -> None:
        """`queue_limit`: jobs ready in one queue before new ones are refused; 0 = no limit. `budgets`: of
        clients, for what they start."""
        self._budgets = budgets
        self._queue = queue
        self._listener = listener
        self._queue_limit = queue_limit
        self._max_waiting = max_waiting
        self._watches: dict[str, _Watch] = {}
        self.waiting = 0

    async def is_known(self, job_id: str) -> bool:
        """Whether a job waits, is deferred or runs. Raises `QueueUnavailable`."""
        return await self._queue.is_known(job_id)

    async def failure(self, job_id: str) -> Event | None:
        """How a job failed some seconds ago, None if it did not. Raises `QueueUnavailable`."""
        claim, event = await self._queue.read_state(job_id)
        return event if claim is None and event is not None and event.kind == "failed" else None

    async def start(self, job: AnyJob) -> None:
        """Enqueue without waiting. Trouble is not the client's: it is served what there is."""
        if job.id in self._watches:
            return
        try:
            await self._queue.enqueue(job, limit=self._queue_limit)
        except OrchardError as error:
            log.debug("background_enqueue_failed", job_id=job.id, code=error.code)

    async def wait(self, job: AnyJob, *, until: Until, timeout: float, live: bool = False) -> Event:
        """See the port. Cancelling it frees the waiter and leaves the job alone."""
        if self.waiting >= self._max_waiting:
            raise QueueFull("too many requests are waiting in this gateway")
        watch = self._watches.get(job.id)
        if watch is None:
            watch = self._watches[job.id] = _Watch(job)
            watch.callback = self._callback(watch)
            self._listener.register(job.id, watch.callback)
        waiter: asyncio.Future[Event] = asyncio.get_running_loop().create_future()
        watch.waiters[waiter] = live
        watch.untils[waiter] = until
        self.waiting += 1
        started = time.perf_counter()
        outcome = "cancelled"
        try:
            async with asyncio.timeout(timeout):
                if await until():
                    outcome = "found"
                    return Event(job.id, "done", 0)
                starts = watch.driver is None and self._budgets is not None
                if starts and self._budgets is not None:
                    self._budgets.start(job)
                await self._ensure_driven(watch, job)
                if live and watch.live is not None and not waiter.done():
                    outcome = "live"
                    return watch.live
                event = await waiter
                outcome = event.kind
                if starts and live and self._budgets is not None:
                    self._budgets.came(event.size_bytes)
                return event
        except TimeoutError:
            outcome = "deadline"
            raise DeadlineExceeded(f"{job.id} was not ready within {timeout:.3g} s") from None
        except OrchardError as error:
            outcome = error.code
            raise
        finally:
            self.waiting -= 1
            metrics.MISS_WAIT.labels(outcome).observe(time.perf_counter() - started)
            watch.waiters.pop(waiter, None)
            watch.untils.pop(waiter, None)
            if waiter.done() and not waiter.cancelled():
                waiter.exception()  # seen, even when the wait had ended otherwise
            if not watch.waiters:
                self._drop(watch)

    # --- one watch ----------------------------------------------------------------------------------

    def _callback(self, watch: _Watch) -> Callable[[Event], None]:
        def on_event(event: Event) -> None:
            watch.deliver(event)
            if event.kind != "live":
                self._retire(watch)

        return on_event

    async def _ensure_driven(self, watch: _Watch, job: AnyJob) -> None:
        if watch.driver is None:
            watch.driver = asyncio.create_task(self._drive(watch))
        elif watch.background and isinstance(job, FetchIndex) and not job.background:
            # Someone waits for real now: the same id is moved out of the refresh queue.
            watch.job, watch.background = job, False
            await self._queue.enqueue(job, limit=self._queue_limit)
        elif isinstance(job, FetchArtifact) and _is_abandonable(watch.job) and not job.abandonable:
            watch.job = job  # someone waits for the whole now
            await self._queue.enqueue(job, limit=self._queue_limit)

    async def _drive(self, watch: _Watch) -> None:
        """Enqueue, then look after what no notification told."""
        try:
            claim, outcome = await self._queue.read_state(watch.job.id)
            known = outcome.generation if outcome is not None and outcome.kind != "live" else 0
            if _is_live(claim, outcome):
                assert outcome is not None
                watch.deliver(outcome)
            await self._queue.enqueue(watch.job, limit=self._queue_limit)
        except OrchardError as error:
            watch.fail(error)
            self._retire(watch)
            return
        pause = FIRST_POLL_SECONDS
        while True:
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, LAST_POLL_SECONDS)
            try:
                if await self._look(watch, known):
                    return
            except OrchardError as error:
                log.debug("miss_poll_failed", job_id=watch.job.id, code=error.code)

    async def _look(self, watch: _Watch, known: int) -> bool:
        """One poll; True when the job has ended."""
        claim, outcome = await self._queue.read_state(watch.job.id)
        if outcome is not None and outcome.kind != "live" and outcome.generation > known:
            watch.deliver(outcome)
            self._retire(watch)
            return True
        if claim is not None:
            if _is_live(claim, outcome):
                assert outcome is not None
                watch.deliver(outcome)
            elif isinstance(watch.job, FetchArtifact) and claim.address:
                # Its `live` event was lost, or is older than what is kept: the claim says enough.
                watch.deliver(
                    Event(watch.job.id, "live", claim.generation, address=claim.address, token=claim.token)
                )
            return False
        for until in list(watch.untils.values())[:1]:
            if await until():
                watch.deliver(Event(watch.job.id, "done", 0))
                self._retire(watch)
                return True
        # Neither running nor ended: the queue was emptied, or it still waits its turn. Enqueueing
        # again does nothing in the second case.
        await self._queue.enqueue(watch.job)
        return False

    def _retire(self, watch: _Watch) -> None:
        """The job ended: whoever comes now starts anew."""
        if self._watches.get(watch.job.id) is watch:
            del self._watches[watch.job.id]
        if watch.callback is not None:
            self._listener.unregister(watch.job.id, watch.callback)
            watch.callback = None

    def _drop(self, watch: _Watch) -> None:
        self._retire(watch)
        if watch.driver is not None and watch.driver is not asyncio.current_task():
            watch.driver.cancel()


def _is_abandonable(job: AnyJob) -> bool:
    return isinstance(job, FetchArtifact) and job.abandonable


def _is_live(claim: Claim | None, outcome: Event | None) -> bool:
    return (
        claim is not None
        and outcome is not None
        and outcome.kind == "live"
        and outcome.generation == claim.generation
    )
