"""`JobContext`, the argument of a job's handler: its claim, and publishing to waiters."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Literal

import msgspec
import structlog

from shared.errors import ErrorValue
from shared.errors.passing import QueueFull, QueueUnavailable
from shared.models import NO_SOURCE_HEADERS, NO_STANDING, SourceHeaders, Standing
from shared.queue.events import Claim, Event
from shared.queue.jobs import AnyJob, Job

_log = structlog.get_logger("queue.worker")


class Deferred(Exception):
    """Raised by a handler whose job needs the results of other jobs: its slot is free until the job is due
    again, after `seconds` or as soon as anyone enqueues it. No try is counted."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"due again in {seconds:.3g} s")
        self.seconds = seconds


class JobContext:
    """One run of one job. `claim.generation` fences whatever the handler writes.

    `lease_lost` is set when another worker took the job over; the handler is cancelled then.
    """

    def __init__(
        self,
        *,
        job_id: str,
        claim: Claim,
        try_number: int,
        payload: bytes,
        epoch: str,
        send: Callable[[JobContext, Event, float], Awaitable[bool]],
        waited_seconds: float = 0.0,
        taken_over: bool = False,
    ) -> None:
        self.job: Job | None = None  # once read from the payload
        self.handler: asyncio.Task[None] | None = None
        self.job_id = job_id
        self.claim = claim
        self.try_number = try_number  # 1 for the first; higher after a worker died
        # An earlier run began and did not end: what followed from it was not put in.
        self.taken_over = taken_over
        self.lease_lost = asyncio.Event()
        self.payload = payload  # as queued, for putting it back when Redis came back empty
        self.epoch = epoch
        self.finishing = False  # the handler has ended and the job is being finished
        self.waited_seconds = waited_seconds  # from due to claimed
        self.published_at_end: Event | None = None
        self.following: list[tuple[AnyJob, float]] = []  # with seconds of deferral
        self._send = send

    @property
    def generation(self) -> int:
        """The claim's: the same over all of this run, higher than any earlier one's."""
        return self.claim.generation

    def is_current(self) -> bool:
        """False once the lease is known to be lost. No I/O: writes are fenced where they are made."""
        return not self.lease_lost.is_set()

    async def publish(
        self,
        kind: Literal["live", "done", "failed"],
        *,
        size_bytes: int | None = None,
        content_type: str = "",
        source_headers: SourceHeaders = NO_SOURCE_HEADERS,
        sha256: str = "",
        standing: Standing = NO_STANDING,
        error: ErrorValue | None = None,
        value: bytes = b"",
        passed: bool = False,
        keep_seconds: float = 3.0,
    ) -> bool:
        """Publish an event to the waiters; `live` carries this worker's address and token.

        False: not published, because the lease is lost or the queue Redis does not answer. Never raises:
        events are hints, and a waiter finds a stored result on its timer.
        """
        event = self._event(
            kind, size_bytes, content_type, source_headers, sha256, standing, error, value, passed
        )
        try:
            return await self._send(self, event, keep_seconds)
        except (QueueUnavailable, QueueFull) as failure:
            _log.warning("waiters could not be notified", job_id=self.job_id, kind=kind, error=failure.code)
            return False

    def done(
        self,
        *,
        size_bytes: int | None = None,
        content_type: str = "",
        source_headers: SourceHeaders = NO_SOURCE_HEADERS,
        sha256: str = "",
        standing: Standing = NO_STANDING,
        value: bytes = b"",
        passed: bool = False,
    ) -> None:
        """Have `done` published when this run ends, in the same step. Without effect if the handler raises
        after all."""
        self.published_at_end = self._event(
            "done", size_bytes, content_type, source_headers, sha256, standing, None, value, passed
        )

    def took(self, upstream_bytes: int) -> None:
        """Tell with `done` how many bytes a guessed job has taken from upstream."""
        if self.published_at_end is not None:
            self.published_at_end = msgspec.structs.replace(
                self.published_at_end, upstream_bytes=upstream_bytes
            )

    def follow(self, job: AnyJob, *, defer_seconds: float = 0) -> None:
        """Have a job enqueued when this run ends, well or not, in the same step; without a limit. A run that
        is killed, given back or superseded ends nothing: the next one has to say it again."""
        self.following.append((job, defer_seconds))

    def _event(
        self,
        kind: Literal["live", "done", "failed"],
        size_bytes: int | None,
        content_type: str,
        source_headers: SourceHeaders,
        sha256: str,
        standing: Standing,
        error: ErrorValue | None,
        value: bytes,
        passed: bool,
    ) -> Event:
        live = kind == "live" or passed
        return Event(
            job_id=self.job_id,
            kind=kind,
            generation=self.claim.generation,
            address=self.claim.address if live else "",
            token=self.claim.token if live else "",
            size_bytes=size_bytes,
            content_type=content_type,
            source_headers=source_headers,
            sha256=sha256 or standing.sha256,
            published=standing.published,
            judged=standing.judged,
            error=error,
            value=value,
            passed=passed,
        )


Handler = Callable[[JobContext, Any], Awaitable[None]]
"""`async def handler(ctx: JobContext, job: <the kind it is registered for>) -> None`."""
