"""The worker's side of the queue: arq's Worker with what was measured as bad replaced.

Kept from arq: its key format, function table, slots (`sem`, `job_counter`), task table and health
key. Replaced: polling (now woken by a token, with a timer of at most a second), the claim (one Lua
call for as many jobs as there are free slots), the in-progress key (now a lease in the queue's
score, renewed while the job runs), results (none are kept: they would block the id) and pickle.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

import msgspec
import structlog
from arq import Worker
from arq.worker import func

from shared.clients import queue_format as keys
from shared.clients import queue_scripts as scripts
from shared.clients.queue import publish
from shared.clients.queue_context import Handler, JobContext
from shared.clients.queue_format import DeadLetter
from shared.clients.queue_wakeup import TokenWaiter
from shared.clients.redis import RedisClient
from shared.errors import ErrorValue, InternalError, InvalidData, OrchardError, QueueFull, QueueUnavailable
from shared.events import CHANNEL, Claim, Event
from shared.jobs import Job
from shared.models import FORMAT

__all__ = ["Handler", "JobContext", "QueueWorker"]

CLAIM_BATCH = 64  # most jobs taken in one call; a worker takes on until its slots or the queue are used up
TIMER_SECONDS = 1.0  # deferred jobs and lost leases are found within this, tokens or not
UNKNOWN_GRACE_MS = 1_500  # longer than the timer: workers that know the kind come first
UNKNOWN_DELAY_MS = 5_000
HEALTH_SECONDS = 30
OUTCOME_SECONDS = 3.0
MAX_BACKOFF_SECONDS = 1.0
CANCEL_SECONDS = 1.0  # how long a cancelled handler may tidy up before its job is given back

_log = structlog.get_logger("queue.worker")
_GIVEN_BACK = ErrorValue("given_back", "")  # never sent: the job goes on elsewhere
_encode = msgspec.msgpack.Encoder().encode


class QueueWorker(Worker):  # type: ignore[misc]  # arq is untyped for us
    """Runs the jobs of one queue, at most `slots` at once, until `drain`.

    `address()` is what gateways reach this worker under ("host:port"), asked at each claim. A job
    whose workers died `max_tries` times is recorded as a `DeadLetter` and told as failed. A handler
    that raises ends its job: `OrchardError` is told as it is, anything else as `internal_error`.
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
    ) -> None:
        super().__init__(
            [func(_coroutine(handler), name=keys.tag_of(kind)) for kind, handler in handlers.items()],
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
        self._kinds: dict[str, type[Job]] = {keys.tag_of(kind): kind for kind in handlers}
        self._known = [f"{tag}:{FORMAT}" for tag in self._kinds]
        self._address = address
        self._lease_seconds = lease_seconds
        self._lease_ms = max(1, int(lease_seconds * 1000))
        self._running: dict[int, JobContext] = {}  # by generation, which no two claims share
        self._handlers: dict[int, asyncio.Task[None]] = {}
        self._unknown_seen: set[str] = set()
        self._slot_freed = asyncio.Event()
        self._stop = asyncio.Event()
        self._stopped = asyncio.Event()
        self._waiter = TokenWaiter(redis, keys.tokens_key(queue))
        self._woken = False
        self._renewed_at = time.monotonic()
        self._away = False
        self._backoff = 0.0

    # --- state --------------------------------------------------------------------------------

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
        renewals = self.loop.create_task(self._renew_forever(), name=f"renew-{self.queue}")
        try:
            while not self._stop.is_set():
                try:
                    await self._poll_iteration()
                    self._redis_answers()
                except (QueueUnavailable, QueueFull) as error:
                    await self._redis_is_away(error)
            await self._stopped.wait()
        finally:
            renewals.cancel()
            await asyncio.gather(renewals, return_exceptions=True)
            await self._waiter.aclose()

    async def drain(self, timeout_seconds: float) -> None:
        """Claim no more, let running jobs finish for `timeout_seconds`, cancel the rest and give
        them back: they are due at once elsewhere. `run` returns afterwards."""
        self.allow_pick_jobs = False
        self._stop.set()
        self._slot_freed.set()
        self._waiter.wake()
        deadline = self.loop.time() + timeout_seconds
        while self.job_counter and (left := deadline - self.loop.time()) > 0:
            await asyncio.wait(list(self.tasks.values()), timeout=left)
        unfinished = list(self._running.values())
        for handler in list(self._handlers.values()):
            handler.cancel()
        if self.tasks:
            await asyncio.wait(list(self.tasks.values()), timeout=CANCEL_SECONDS)
        await self._give_back([run for run in unfinished if run.is_current()])
        for task in list(self.tasks.values()):
            task.cancel()
        self._stopped.set()
        if self.main_task is not None:
            await asyncio.wait([self.main_task])

    async def _give_back(self, runs: Sequence[JobContext]) -> None:
        if not runs:
            return
        pairs = [part for run in runs for part in (run.job_id, run.generation)]
        try:
            released = await scripts.RELEASE(
                self._redis, [self.queue_name, keys.tokens_key(self.queue)], [keys.MAX_TOKENS, *pairs]
            )
            _log.info("unfinished jobs are given back", queue=self.queue, jobs=released)
        except (QueueUnavailable, QueueFull) as error:  # their leases run out instead
            _log.warning("unfinished jobs could not be given back", queue=self.queue, error=error.code)

    # --- finding work -------------------------------------------------------------------------

    async def _poll_iteration(self) -> None:
        """Fill the free slots; then wait until a slot is free, a token comes, or the timer ends."""
        free = self.max_jobs - self.job_counter
        if free <= 0:
            self._slot_freed.clear()
            await self._slot_freed.wait()
            return
        if self._running and time.monotonic() - self._renewed_at > self._lease_seconds / 2:
            await self._renew()  # Redis or we were frozen: keep what runs here before taking more
        most = min(free, CLAIM_BATCH)
        wait_ms, jobs = await self._claim(most)
        await self.start_jobs(jobs)
        await self._record_health()
        if len(jobs) < most and not self._stop.is_set():
            seconds = TIMER_SECONDS if wait_ms < 0 else min(TIMER_SECONDS, (wait_ms + 1) / 1000)
            self._woken = await self._waiter.wait(seconds)

    async def _claim(self, most: int) -> tuple[int, list[JobContext]]:
        address = self._address()
        answer = await scripts.CLAIM(
            self._redis,
            [self.queue_name, keys.tokens_key(self.queue), keys.GENERATION_KEY],
            [
                most,
                self._lease_ms,
                address,
                secrets.token_hex(16),
                UNKNOWN_GRACE_MS,
                UNKNOWN_DELAY_MS,
                keys.TRIES_EXPIRE_MS,
                int(self._woken),
                *self._known,
            ],
        )
        self._woken = False
        wait_ms, epoch, claimed, unknown = answer
        for raw_id, kind in unknown:
            self._note_unknown(raw_id.decode(), kind.decode(errors="replace"))
        runs = [
            JobContext(
                job=None,
                job_id=raw_id.decode(),
                claim=Claim(generation, address, token.decode()),
                try_number=tries,
                payload=payload,
                epoch=epoch.decode(),
                send=self._tell,
            )
            for raw_id, payload, generation, token, tries in claimed
        ]
        return wait_ms, runs

    def _note_unknown(self, job_id: str, kind: str) -> None:
        if kind not in self._unknown_seen and len(self._unknown_seen) < 100:
            self._unknown_seen.add(kind)
            _log.warning("a job of an unknown kind stays queued", queue=self.queue, kind=kind, job_id=job_id)

    async def start_jobs(self, runs: Sequence[JobContext]) -> None:
        """Start each claimed job in a task of its own."""
        if self._stop.is_set():
            await self._give_back(runs)
            return
        for run in runs:
            await self.sem.acquire()
            self.job_counter += 1
            for other in [o for o in self._running.values() if o.job_id == run.job_id]:
                self._lose(other)  # our own lease ran out unnoticed, and we took the job again
            self._running[run.generation] = run
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

    # --- running ------------------------------------------------------------------------------

    async def run_job(self, run: JobContext) -> None:
        """Run one claimed job to its end, and finish it unless the lease was lost or we drain."""
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(job_id=run.job_id, generation=run.generation)
        try:
            if run.try_number > self.max_tries:
                await self._bury(run)
                return
            try:
                run.job = job = keys.decode_job(run.payload, self._kinds)
            except InvalidData as error:
                await self._bury(run, reason=error.message)
                return
            if request_id := getattr(job, "request_id", ""):
                structlog.contextvars.bind_contextvars(request_id=request_id)
            handler = self.loop.create_task(self.functions[keys.tag_of(type(job))].coroutine(run, job))
            self._handlers[run.generation] = handler
            try:
                await asyncio.wait([handler])
            finally:
                self._handlers.pop(run.generation, None)
                handler.cancel()
            error_value = self._ending(run, handler)
            if error_value is not _GIVEN_BACK:
                await self._finish(run, self._failed(run, error_value) if error_value else None)
        finally:
            self._running.pop(run.generation, None)

    def _ending(self, run: JobContext, handler: asyncio.Task[None]) -> ErrorValue | None:
        """None: done well. `_GIVEN_BACK`: not finished here. Else the error to tell."""
        if handler.cancelled():
            if not run.is_current() or self._stop.is_set():
                self.jobs_retried += 1
                return _GIVEN_BACK
            self.jobs_failed += 1
            _log.error("a handler cancelled itself", queue=self.queue)
            return InternalError("the job was cancelled").to_value()
        error = handler.exception()
        if error is None:
            self.jobs_complete += 1
            return None
        if handler.cancelling():
            self.jobs_retried += 1
            return _GIVEN_BACK  # what it raised comes of being cancelled
        self.jobs_failed += 1
        if isinstance(error, OrchardError):
            _log.info("a job failed", queue=self.queue, error=error.code, message=error.message)
            return error.to_value()
        _log.error("a handler raised", queue=self.queue, exc_info=error)
        return InternalError(f"the job failed: {type(error).__name__}").to_value()

    @staticmethod
    def _failed(run: JobContext, error: ErrorValue) -> Event:
        return Event(job_id=run.job_id, kind="failed", generation=run.generation, error=error)

    async def _bury(self, run: JobContext, reason: str = "") -> None:
        deaths = run.try_number - 1
        reason = reason or f"the workers that ran it were lost {deaths} times"
        kind = keys.tag_of(type(run.job)) if run.job else ""
        letter = DeadLetter(run.job_id, kind, reason, run.try_number, time.time())
        _log.error("a job is given up", queue=self.queue, reason=reason)
        self.jobs_failed += 1
        value = InternalError(f"the job was given up: {reason}").to_value()
        await self._finish(run, self._failed(run, value), msgspec.json.encode(letter))

    async def _finish(self, run: JobContext, event: Event | None, dead_letter: bytes = b"") -> None:
        """Take the job out of the queue, if it is still ours; goes on trying while Redis is away
        (the renewals, which tell if the lease was lost, do so too)."""
        job_id = run.job_id
        run.finishing = True
        delay = 0.05
        while run.is_current():
            try:
                state = await scripts.FINISH(
                    self._redis,
                    [
                        self.queue_name,
                        keys.job_key(job_id),
                        keys.claim_key(job_id),
                        keys.tries_key(job_id),
                        keys.outcome_key(job_id),
                        keys.dead_key(self.queue),
                    ],
                    [
                        job_id,
                        run.generation,
                        b"" if event is None else _encode(event),
                        int(OUTCOME_SECONDS * 1000),
                        CHANNEL,
                        dead_letter,
                        keys.DEAD_KEPT,
                        keys.QUARANTINE_MS,
                    ],
                )
                if state == 1:
                    return
                if state == 0 or not await self._restore(run):
                    self._lose(run)
                    return
            except (QueueUnavailable, QueueFull):
                if self._stopped.is_set():
                    return
                await asyncio.sleep(delay)
                delay = min(MAX_BACKOFF_SECONDS, delay * 2)

    async def _tell(self, run: JobContext, event: Event, keep_seconds: float) -> bool:
        state = await publish(self._redis, event, keep_seconds=keep_seconds)
        if state == -1 and await self._restore(run):
            state = await publish(self._redis, event, keep_seconds=keep_seconds)
        return state == 1

    # --- leases -------------------------------------------------------------------------------

    async def _renew_forever(self) -> None:
        pause = self._lease_seconds / 4
        while True:
            await asyncio.sleep(pause)
            pause = self._lease_seconds / 4
            if not self._running:
                self._renewed_at = time.monotonic()
            else:
                try:
                    await self._renew()
                except (QueueUnavailable, QueueFull):
                    pause = min(pause, 0.2)

    async def _renew(self) -> None:
        """Extend all our leases by one call; those gone are set again or given up."""
        runs = list(self._running.values())
        pairs = [part for run in runs for part in (run.job_id, run.generation)]
        answers = await scripts.RENEW(self._redis, [self.queue_name], [self._lease_ms, *pairs])
        self._renewed_at = time.monotonic()
        for run, state in zip(runs, answers, strict=True):
            if run.generation not in self._running or (run.finishing and state == -1):
                continue  # it finished while we asked
            if state == 0 or (state == -1 and not await self._restore(run)):
                self._lose(run)

    async def _restore(self, run: JobContext) -> bool:
        """Set a vanished claim again under its generation, if nobody claimed the job since
        (`queue_scripts.RESTORE` says when); running jobs so outlive an emptied or frozen Redis."""
        if not run.is_current() or run.generation not in self._running:
            return False
        job_id = run.job_id
        state, epoch = await scripts.RESTORE(
            self._redis,
            [
                self.queue_name,
                keys.job_key(job_id),
                keys.claim_key(job_id),
                keys.tries_key(job_id),
                keys.GENERATION_KEY,
            ],
            [
                job_id,
                run.generation,
                run.claim.address,
                run.claim.token,
                run.try_number,
                run.epoch,
                run.payload,
                self._lease_ms,
                keys.JOB_EXPIRES_MS,
                keys.TRIES_EXPIRE_MS,
            ],
        )
        if state == 1:
            run.epoch = epoch.decode()
        return bool(state == 1)

    def _lose(self, run: JobContext) -> None:
        if run.is_current():
            run.lease_lost.set()
            _log.info("a lease is lost", queue=self.queue, job_id=run.job_id, generation=run.generation)
        handler = self._handlers.get(run.generation)
        if handler is not None:
            handler.cancel()

    # --- Redis away ---------------------------------------------------------------------------

    async def _record_health(self) -> None:
        if time.time() - self._last_health_check >= HEALTH_SECONDS:
            async with scripts.bounded(self._redis):
                await self.heart_beat()  # arq's: writes {queue}:health-check

    def _redis_answers(self) -> None:
        if self._away:
            _log.info("the queue Redis answers again", queue=self.queue)
        self._away = False
        self._backoff = 0.0

    async def _redis_is_away(self, error: OrchardError) -> None:
        if not self._away:
            _log.warning("the queue Redis does not answer", queue=self.queue, error=error.message)
        self._away = True
        self._backoff = min(MAX_BACKOFF_SECONDS, max(0.05, self._backoff * 2))
        try:
            async with asyncio.timeout(self._backoff * random.uniform(0.5, 1.0)):
                await self._stop.wait()
        except TimeoutError:
            pass


def _coroutine(handler: Handler) -> Callable[[JobContext, Any], Coroutine[Any, Any, None]]:
    """arq takes coroutine functions only; a handler may be any callable that returns an awaitable."""

    async def call(ctx: JobContext, job: Any) -> None:
        await handler(ctx, job)

    return call
