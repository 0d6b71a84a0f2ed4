"""The worker's side of the queue: arq's Worker with what was measured as bad replaced.

Kept from arq: its key format, function table, slots (`sem`, `job_counter`), task table and health
key. Replaced: polling (now woken by a token, with a timer of at most a second), the claim (one Lua
call for as many jobs as there are free slots), the in-progress key (now a lease in the queue's
score, renewed while the job runs), results (none are kept: they would block the id) and pickle.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from typing import Any

import msgspec
import structlog
from arq import Worker
from arq.worker import func

from shared.errors import ErrorValue, InternalError, InvalidData, OrchardError
from shared.errors.foreign import own_lack
from shared.errors.passing import PassingError, QueueFull, QueueUnavailable
from shared.http.via import received
from shared.process.periodic import Backoff, Every
from shared.queue import keys
from shared.queue.context import Deferred, Handler, JobContext
from shared.queue.events import Event
from shared.queue.jobs import Job
from shared.queue.keys import DeadLetter
from shared.queue.leases import Leases
from shared.queue.scripts import bounded
from shared.queue.tokens import TokenWaiter
from shared.redis.client import RedisClient
from shared.telemetry import metrics
from shared.telemetry.otlp import Span
from shared.telemetry.tracing import CONSUMER, accepted, begin, end, inside, is_on

CLAIM_BATCH = 64  # most jobs taken in one call; a worker goes on until its slots or the queue are used up
TIMER_SECONDS = 1.0  # deferred jobs and lost leases are found within this, tokens or not
HEALTH_SECONDS = 30  # `arq --check` says yes for a second longer than this after a worker's last sign
BEAT_SECONDS = 10.0
FIRST_BACKOFF_SECONDS = 0.05
LAST_BACKOFF_SECONDS = 1.0
CANCEL_SECONDS = 1.0  # how long a cancelled handler may tidy up before its job is given back

_log = structlog.get_logger("queue.worker")
_GIVEN_BACK = ErrorValue("given_back", "")  # never sent: the job goes on elsewhere


class QueueWorker(Worker):  # type: ignore[misc]  # arq is untyped for us
    """Runs the jobs of one queue, at most `slots` at once, until `drain`.

    `address()` is what gateways reach this worker under ("host:port"), asked at each claim. A job
    whose workers died `max_tries` times is recorded as a `DeadLetter` and published as failed. A handler
    that raises ends its job: `OrchardError` is published as it is, anything else as `internal_error`; only
    `Deferred` puts it back.
    Handlers of all kinds that live in the queue must be given: other kinds are left to others, and so are
    jobs of protocols that are neither `UNTOLD` (jobs.py) nor among `protocols`.
    """

    def __init__(
        self,
        *,
        redis: RedisClient,
        queue: str,
        slots: int,
        handlers: Mapping[type[Any], Handler],
        address: Callable[[], str],
        lease_seconds: float,
        max_tries: int = 3,
        protocols: Collection[str] = (),
    ) -> None:
        super().__init__(
            [func(_coroutine(handler), name=kind.name()) for kind, handler in handlers.items()],
            queue_name=keys.queue_key(queue),
            redis_pool=redis.raw,
            handle_signals=False,
            max_jobs=slots,
            keep_result=0,
            max_tries=max_tries,
            health_check_interval=HEALTH_SECONDS,
        )
        self.queue = queue
        self._redis = redis
        self._kinds: dict[str, type[Job]] = {kind.name(): kind for kind in handlers}
        self._leases = Leases(
            redis, queue, seconds=lease_seconds, tags=self._kinds, protocols=protocols, address=address
        )
        self._waiter = TokenWaiter(redis, keys.tokens_key(queue))
        self._woken = False
        self._slot_freed = asyncio.Event()
        self._stop = asyncio.Event()
        self._stopped = asyncio.Event()
        self._backoff = Backoff(FIRST_BACKOFF_SECONDS, LAST_BACKOFF_SECONDS)  # begun while Redis is away

    @property
    def slots(self) -> int:
        """Most jobs at once."""
        return int(self.max_jobs)

    @property
    def active(self) -> int:
        """Jobs running now."""
        return int(self.job_counter)

    # --- life ---------------------------------------------------------------------------------

    async def run(self) -> None:
        """Work until `drain` is called (or this is cancelled: then unfinished jobs are given back)."""
        try:
            await self.async_run()
        finally:
            if not self._stop.is_set():
                await self.drain(0)

    async def main(self) -> None:
        """arq's main loop without its start-up queries and burst mode."""
        self.loop = asyncio.get_running_loop()
        renewals = self._leases.renewals()
        await renewals.open()
        beats = Every(BEAT_SECONDS, self._beat, name=f"beat-{self.queue}", first_seconds=0, retry_seconds=1)
        await beats.open()
        try:
            while not self._stop.is_set():
                try:
                    await self._poll_iteration()
                    self._redis_answers()
                except (QueueUnavailable, QueueFull) as error:
                    await self._redis_is_away(error)
            await self._stopped.wait()
        finally:
            await renewals.aclose()
            await beats.aclose()
            await self._waiter.aclose()

    async def _beat(self) -> None:
        """Writes arq's health key, {queue}:health-check; also while all slots are taken."""
        self._last_health_check = 0.0  # arq writes no oftener than HEALTH_SECONDS by itself
        async with bounded(self._redis):
            await self.record_health()

    async def drain(self, timeout_seconds: float) -> None:
        """Claim no more, let running jobs finish for `timeout_seconds`, cancel the rest and give
        them back: they are due at once elsewhere. `run` returns afterwards."""
        self._stop.set()
        self._slot_freed.set()
        self._waiter.wake()
        deadline = self.loop.time() + timeout_seconds
        while self.tasks and (left := deadline - self.loop.time()) > 0:
            await asyncio.wait(list(self.tasks.values()), timeout=left)
        unfinished = list(self._leases.held.values())
        for run in unfinished:
            if run.handler is not None:
                run.handler.cancel()
        if self.tasks:
            await asyncio.wait(list(self.tasks.values()), timeout=CANCEL_SECONDS)
        await self._leases.give_back([run for run in unfinished if run.is_current()])
        self._leases.closed.set()
        for task in list(self.tasks.values()):
            task.cancel()
        self._stopped.set()
        if self.main_task is not None:
            await asyncio.wait([self.main_task])

    # --- finding work -------------------------------------------------------------------------

    async def _poll_iteration(self) -> None:
        """Fill the free slots; then wait until a slot is free, a token comes, or the timer ends."""
        free = self.max_jobs - self.job_counter
        if free <= 0:
            self._slot_freed.clear()
            await self._slot_freed.wait()
            return
        if self._leases.overdue:
            await self._leases.renew()
        most = min(free, CLAIM_BATCH)
        wait_ms, runs = await self._leases.claim(most, woken=self._woken)
        self._woken = False
        await self.start_jobs(runs)
        if len(runs) < most and not self._stop.is_set():
            seconds = TIMER_SECONDS if wait_ms < 0 else min(TIMER_SECONDS, (wait_ms + 1) / 1000)
            self._woken = await self._waiter.wait(seconds)

    async def start_jobs(self, runs: Sequence[JobContext]) -> None:
        """Start each claimed job in a task of its own."""
        if self._stop.is_set():
            await self._leases.give_back(runs)
            return
        for run in runs:
            await self.sem.acquire()
            self.job_counter += 1
            for other in [held for held in self._leases.held.values() if held.job_id == run.job_id]:
                self._leases.lose(other)  # our own lease ran out unnoticed, and we took the job again
            self._leases.held[run.generation] = run
            name = f"{run.job_id}#{run.generation}"
            task = self.loop.create_task(self.run_job(run), name=name)
            self.tasks[name] = task
            task.add_done_callback(self._job_ended)

    def _job_ended(self, task: asyncio.Task[None]) -> None:
        self.tasks.pop(task.get_name(), None)
        self._release_sem_dec_counter_on_complete()
        self._slot_freed.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("a job's bookkeeping failed", queue=self.queue, exc_info=error)

    def _redis_answers(self) -> None:
        if self._backoff.begun:
            _log.info("the queue Redis answers again", queue=self.queue)
        self._backoff.reset()

    async def _redis_is_away(self, error: OrchardError) -> None:
        if not self._backoff.begun:
            _log.warning("the queue Redis does not answer", queue=self.queue, error=error.message)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._backoff.pause()):
                await self._stop.wait()

    # --- running ------------------------------------------------------------------------------

    async def run_job(self, run: JobContext) -> None:
        """Run one claimed job to its end, and finish it unless the lease was lost or we drain."""
        span = self._span(run)
        with inside(span):
            await self._run_job(run, span)

    def _span(self, run: JobContext) -> Span | None:
        """Of a job that a traced request wants."""
        parent = accepted(keys.traceparent_of(run.payload)) if is_on() else None
        return begin(self.queue, CONSUMER, parent) if parent is not None and parent[1] else None

    async def _run_job(self, run: JobContext, span: Span | None) -> None:
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(job_id=run.job_id, generation=run.generation)
        started, task = time.perf_counter(), "unknown"
        outcome: metrics.JobOutcome = "retried"
        try:
            if run.try_number > self.max_tries:
                outcome = "dead"
                # Later tries are no further losses: nobody has run it since.
                reason = f"the workers that ran it were lost {self.max_tries} times"
                await self._bury(run, reason, self.max_tries)
                return
            try:
                run.job = job = keys.decode_job(run.payload, self._kinds)
            except InvalidData as error:
                outcome = "dead"
                await self._bury(run, error.message, run.try_number)
                return
            if request_id := getattr(job, "request_id", ""):
                structlog.contextvars.bind_contextvars(request_id=request_id)
            received.set(getattr(job, "via", ""))
            task = type(job).name()
            function = self.functions[task]
            run.handler = handler = self.loop.create_task(function.coroutine(run, job))
            try:
                await asyncio.wait([handler])
            finally:
                handler.cancel()  # when this task was cancelled; else it is done
            if not handler.cancelled() and isinstance(deferred := handler.exception(), Deferred):
                self.jobs_retried += 1
                outcome = "postponed"
                await self._leases.give_back([run], delay_seconds=deferred.seconds)
                return
            error_value = self._ending(run, handler)
            if error_value is not _GIVEN_BACK:
                outcome = "failed" if error_value else "done"
                await self._leases.finish(
                    run, _failed(run, error_value) if error_value else run.published_at_end
                )
        finally:
            self._leases.held.pop(run.generation, None)
            metrics.observe_job(task, outcome, time.perf_counter() - started, run.waited_seconds)
            if span is not None:
                span.name = task
                failed = outcome if outcome in ("failed", "dead") else ""
                end(
                    span,
                    error=failed,
                    orchard__queue=self.queue,
                    orchard__outcome=outcome,
                    orchard__waited_seconds=run.waited_seconds,
                )

    def _ending(self, run: JobContext, handler: asyncio.Task[None]) -> ErrorValue | None:
        """None: done. `_GIVEN_BACK`: not finished here. Else the error to publish."""
        error = None if handler.cancelled() else handler.exception()
        if error is None and not handler.cancelled():
            self.jobs_complete += 1
            return None
        if handler.cancelling() and (not run.is_current() or self._stop.is_set()):
            self.jobs_retried += 1
            return _GIVEN_BACK  # whatever it raised comes of our cancelling it
        self.jobs_failed += 1
        if error is None:
            _log.error("a handler cancelled itself", queue=self.queue)
            return InternalError("the job was cancelled").to_value()
        if isinstance(error, OrchardError):
            _log.info("a job failed", queue=self.queue, error=error.code, message=error.message)
            return error.to_value()
        if lacking := own_lack(error):
            _log.warning("a job lacked something", queue=self.queue, reason=lacking)
            return PassingError(f"the job could not be done now: {lacking}").to_value()
        _log.error("a handler raised", queue=self.queue, exc_info=error)
        return InternalError(f"the job failed: {type(error).__name__}").to_value()

    async def _bury(self, run: JobContext, reason: str, tries: int) -> None:
        """Record the job as a dead letter and publish its failure."""
        self.jobs_failed += 1
        _log.error("a job is given up", queue=self.queue, reason=reason)
        kept = run.payload if len(run.payload) <= keys.DEAD_PAYLOAD_BYTES else b""
        letter = DeadLetter(run.job_id, reason, tries, time.time(), kept)
        value = InternalError(f"the job was given up: {reason}").to_value()
        await self._leases.finish(run, _failed(run, value), msgspec.json.encode(letter))


def _failed(run: JobContext, error: ErrorValue) -> Event:
    return Event(job_id=run.job_id, kind="failed", generation=run.generation, error=error)


def _coroutine(handler: Handler) -> Callable[[JobContext, Any], Coroutine[Any, Any, None]]:
    """arq takes coroutine functions only; a handler may be any callable that returns an awaitable."""

    async def call(ctx: JobContext, job: Any) -> None:
        await handler(ctx, job)

    return call
