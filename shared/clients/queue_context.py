"""What a job's handler is given: its claim, and the ways to tell waiters how it goes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Literal

import structlog

from shared.errors import ErrorValue, QueueFull, QueueUnavailable
from shared.events import Claim, Event
from shared.jobs import Job

_log = structlog.get_logger("queue.worker")


class Deferred(Exception):
    """Raised by a handler whose job lacks something that other jobs bring: its slot is free until the
    job is due again, after `seconds` or as soon as anyone enqueues it. No try is counted."""

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
    ) -> None:
        self.job: Job | None = None  # once read from the payload
        self.handler: asyncio.Task[None] | None = None
        self.job_id = job_id
        self.claim = claim
        self.try_number = try_number  # 1 for the first; higher after a worker died
        self.lease_lost = asyncio.Event()
        self.payload = payload  # as queued, for putting it back when Redis came back empty
        self.epoch = epoch
        self.finishing = False  # the handler has ended and the queue is being told
        self.waited_seconds = waited_seconds  # from due to claimed
        self._send = send

    @property
    def generation(self) -> int:
        """The claim's: the same over all of this run, higher than any earlier one's."""
        return self.claim.generation

    def is_current(self) -> bool:
        """False once the lease is known to be lost. Asks nobody: writes are fenced where they land."""
        return not self.lease_lost.is_set()

    async def publish(
        self,
        kind: Literal["live", "done", "failed"],
        *,
        size_bytes: int | None = None,
        content_type: str = "",
        sha256: str = "",
        error: ErrorValue | None = None,
        value: bytes = b"",
        keep_seconds: float = 3.0,
    ) -> bool:
        """Tell the waiters; `live` carries this worker's address and token.

        False: not told, because the lease is lost or the queue Redis does not answer. Never raises:
        events are hints, and a waiter finds a stored result on its timer.
        """
        live = kind == "live"
        event = Event(
            job_id=self.job_id,
            kind=kind,
            generation=self.claim.generation,
            address=self.claim.address if live else "",
            token=self.claim.token if live else "",
            size_bytes=size_bytes,
            content_type=content_type,
            sha256=sha256,
            error=error,
            value=value,
        )
        try:
            return await self._send(self, event, keep_seconds)
        except (QueueUnavailable, QueueFull) as failure:
            _log.warning("waiters could not be told", job_id=self.job_id, kind=kind, error=failure.code)
            return False


Handler = Callable[[JobContext, Any], Awaitable[None]]
"""`async def handler(ctx: JobContext, job: <the kind it is registered for>) -> None`."""
