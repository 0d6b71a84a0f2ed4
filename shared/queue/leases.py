"""A worker's leases: it renews, publishes and finishes jobs only while it holds their lease.

A lease is a claim key with an expiry and the job's score in the queue, both set to now + lease and
renewed at a quarter of it. A dead worker renews nothing: its jobs are simply due again.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

import msgspec
import structlog

from shared.errors.passing import QueueFull, QueueUnavailable
from shared.models import FORMAT
from shared.process.periodic import Backoff, Every
from shared.queue import keys, scripts
from shared.queue.context import JobContext
from shared.queue.events import CHANNEL, Claim, Event
from shared.queue.jobs import ABILITIES
from shared.queue.producer import count_enqueued, publish, put_arguments
from shared.redis.client import RedisClient

UNKNOWN_GRACE_MS = 1_500  # longer than a worker's timer: those that know the kind come first
UNKNOWN_DELAY_MS = 5_000
OUTCOME_SECONDS = 3.0
SETTLE_MOST = 1000
FIRST_RETRY_SECONDS = 0.05
LAST_RETRY_SECONDS = 1.0

_log = structlog.get_logger("queue.leases")
_encode = msgspec.msgpack.Encoder().encode


class Leases:
    """The leases of one worker on one queue. Methods raise `QueueUnavailable` unless they say otherwise."""

    def __init__(
        self,
        redis: RedisClient,
        queue: str,
        *,
        seconds: float,
        tags: Collection[str],
        address: Callable[[], str],
        protocols: Collection[str] = (),
    ) -> None:
        self.queue = queue
        self.seconds = seconds
        self.held: dict[int, JobContext] = {}  # by generation, which no two claims share
        self.closed = asyncio.Event()  # set at the end: nobody goes on trying to finish
        self._redis = redis
        self._address = address
        self._ms = max(1, int(seconds * 1000))
        spoken = (*protocols, *ABILITIES)
        self._known = [*(f"{tag}:{FORMAT}" for tag in tags), *(f"@{name}" for name in spoken)]
        self._unknown_seen: set[str] = set()
        self._renewed_at = time.monotonic()
        self._settle_at = self._renewed_at + seconds

    # --- claiming -----------------------------------------------------------------------------

    async def claim(self, most: int, *, woken: bool) -> tuple[int, list[JobContext]]:
        """Milliseconds until the next job is due (-1: none), and up to `most` claimed jobs.

        `woken`: a token was taken, so tokens are cleared when nothing is due.
        """
        address = self._address()
        answer = await scripts.CLAIM(
            self._redis,
            [keys.queue_key(self.queue), keys.tokens_key(self.queue), keys.GENERATION_KEY],
            [
                most,
                self._ms,
                address,
                secrets.token_hex(16),
                UNKNOWN_GRACE_MS,
                UNKNOWN_DELAY_MS,
                keys.TRIES_EXPIRE_MS,
                int(woken),
                *self._known,
            ],
        )
        wait_ms, epoch, claimed, unknown = answer
        for raw_id, kind in unknown:
            self._note_unknown(raw_id.decode(), kind.decode(errors="replace"))
        runs = [
            JobContext(
                job_id=raw_id.decode(),
                claim=Claim(generation, address, token.decode()),
                try_number=tries,
                payload=payload,
                epoch=epoch.decode(),
                send=self.tell,
                waited_seconds=waited_us / 1e6,
                taken_over=bool(taken_over),
            )
            for raw_id, payload, generation, token, tries, waited_us, taken_over in claimed
        ]
        return wait_ms, runs

    def _note_unknown(self, job_id: str, kind: str) -> None:
        if kind not in self._unknown_seen and len(self._unknown_seen) < 100:
            self._unknown_seen.add(kind)
            _log.warning("a job of an unknown kind stays queued", queue=self.queue, kind=kind, job_id=job_id)

    async def give_back(self, runs: Sequence[JobContext], *, delay_seconds: float = 0.0) -> None:
        """Make unfinished jobs due elsewhere, at once or after a delay, this try not counted. Never
        raises: at worst their leases run out."""
        if not runs:
            return
        pairs = [part for run in runs for part in (run.job_id, run.generation)]
        try:
            released = await scripts.RELEASE(
                self._redis,
                [keys.queue_key(self.queue), keys.tokens_key(self.queue)],
                [keys.MAX_TOKENS, max(0, int(delay_seconds * 1000)), *pairs],
            )
            if not delay_seconds:
                _log.info("unfinished jobs are given back", queue=self.queue, jobs=released)
        except (QueueUnavailable, QueueFull) as error:
            _log.warning("unfinished jobs could not be given back", queue=self.queue, error=error.code)

    # --- keeping ------------------------------------------------------------------------------

    @property
    def overdue(self) -> bool:
        """Nothing was renewed for so long (Redis or we were frozen) that it must come first."""
        return bool(self.held) and time.monotonic() - self._renewed_at > self.seconds / 2

    def renewals(self) -> Every:
        """The task that renews leases, at a quarter of their time, sooner after a failure."""
        quarter = self.seconds / 4
        name = f"renew-{self.queue}"
        return Every(quarter, self._keep, name=name, retry_seconds=min(quarter, 0.2))

    async def _keep(self) -> None:
        await self.renew()
        if time.monotonic() >= self._settle_at:
            self._settle_at = time.monotonic() + self.seconds
            await self.settle()

    async def renew(self) -> None:
        """Extend all leases by one call; a claim that is gone is set again or the lease is lost."""
        runs = list(self.held.values())
        if runs:
            pairs = [part for run in runs for part in (run.job_id, run.generation)]
            answers = await scripts.RENEW(self._redis, [keys.queue_key(self.queue)], [self._ms, *pairs])
            for run, state in zip(runs, answers, strict=True):
                if run.generation not in self.held or (run.finishing and state == -1):
                    continue  # it finished while we asked
                if state == 0 or (state == -1 and not await self._restore(run)):
                    self.lose(run)
        self._renewed_at = time.monotonic()

    async def settle(self) -> None:
        """Correct due times and expiries that are too far away after Redis's clock went back."""
        arguments = [self._ms, keys.LONGEST_DEFERRAL_MS, SETTLE_MOST]
        moved = await scripts.SETTLE(self._redis, [keys.queue_key(self.queue)], arguments)
        if moved:
            _log.warning("redis_clock_went_back", queue=self.queue, jobs=moved)

    async def _restore(self, run: JobContext) -> bool:
        """Set a vanished claim again under its generation, if nobody claimed the job since (the
        script says when); running jobs so outlive an emptied or frozen Redis."""
        if not run.is_current() or run.generation not in self.held:
            return False
        state, epoch = await scripts.RESTORE(
            self._redis,
            [
                keys.queue_key(self.queue),
                keys.job_key(run.job_id),
                keys.claim_key(run.job_id),
                keys.tries_key(run.job_id),
                keys.GENERATION_KEY,
            ],
            [
                run.job_id,
                run.generation,
                run.claim.address,
                run.claim.token,
                run.try_number,
                run.epoch,
                run.payload,
                self._ms,
                keys.JOB_EXPIRES_MS,
                keys.TRIES_EXPIRE_MS,
            ],
        )
        if state == 1:
            run.epoch = epoch.decode()
        return bool(state == 1)

    def lose(self, run: JobContext) -> None:
        """Another worker holds the job: cancel its handler here."""
        if run.is_current():
            run.lease_lost.set()
            _log.info("a lease is lost", queue=self.queue, job_id=run.job_id, generation=run.generation)
        if run.handler is not None:
            run.handler.cancel()

    # --- telling and finishing ----------------------------------------------------------------

    async def tell(self, run: JobContext, event: Event, keep_seconds: float) -> bool:
        """Publish under the lease; False when it is lost."""
        state = await publish(self._redis, event, keep_seconds=keep_seconds)
        if state == -1 and await self._restore(run):
            state = await publish(self._redis, event, keep_seconds=keep_seconds)
        return state == 1

    async def finish(self, run: JobContext, event: Event | None = None, dead_letter: bytes = b"") -> None:
        """Remove the job from the queue, publish `event` and enqueue what follows, all only under its lease.
        Never raises: retries while Redis is away, until a renewal finds the lease lost."""
        run.finishing = True
        backoff = Backoff(FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS)
        while run.is_current() and not self.closed.is_set():
            try:
                state = await self._finish_once(run, event, dead_letter)
                if state == 1:
                    return
                if state == 0 or not await self._restore(run):
                    self.lose(run)
            except (QueueUnavailable, QueueFull):
                await asyncio.sleep(backoff.pause())

    async def _finish_once(self, run: JobContext, event: Event | None, dead_letter: bytes) -> int:
        names = [
            keys.queue_key(self.queue),
            keys.job_key(run.job_id),
            keys.claim_key(run.job_id),
            keys.tries_key(run.job_id),
            keys.outcome_key(run.job_id),
            keys.dead_key(self.queue),
        ]
        failed = event is not None and event.kind == "failed"
        arguments: list[Any] = [
            run.job_id,
            run.generation,
            b"" if event is None else _encode(event),
            int(OUTCOME_SECONDS * 1000),
            CHANNEL,
            dead_letter,
            keys.DEAD_KEPT,
            keys.QUARANTINE_MS,
            "dead" if dead_letter else "failed" if failed else "finished",
        ]
        for job, defer_seconds in run.following:
            more_names, more_arguments = put_arguments(job, defer_seconds=defer_seconds)
            names += more_names
            arguments += more_arguments
        state, *codes = await scripts.FINISH(self._redis, names, arguments)
        for (job, _), code in zip(run.following, codes, strict=False):
            count_enqueued(job, code)
        return int(state)
