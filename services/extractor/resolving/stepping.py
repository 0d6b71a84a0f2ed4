"""A job that never waits in its slot: the common half of `resolve` and `ensure`.

It enqueues jobs for what is missing, saves its state, and is deferred until they have ended; any process may
take its next run. Order of writes: row → cache → event. Only a complete answer is stored for ever; an
incomplete one is handed to those who wait now, and forgotten.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import msgspec

from shared.errors import OrchardError
from shared.process.bounded import Bounded
from shared.queue.context import Deferred, JobContext
from shared.queue.jobs import Ensure, Resolve
from shared.queue.wakeups import Wakeups
from shared.resolving.answers import Ended, KeptAnswers
from shared.telemetry.logs import get_logger

log = get_logger()

_encode = msgspec.json.Encoder().encode


class State(Protocol):
    """What is saved between two runs: a struct that JSON can hold."""

    started_at: float  # unix seconds

    def __init__(self, *, started_at: float) -> None: ...


J = TypeVar("J", bound=Resolve | Ensure)
S = TypeVar("S", bound=State)
W = TypeVar("W")


class Made(msgspec.Struct, frozen=True):
    """An answer. `lasting`: it is complete and rests on nothing stale. `figures` go to the log."""

    body: bytes
    lasting: bool
    figures: Mapping[str, Any]


class SteppingJob(ABC, Generic[J, S, W]):
    """`handlers[…]` of an extractor. `W` is what one process remembers of a running job, beside its saved
    state; a run without it loads it again."""

    LOGGED: ClassVar[str]  # log event of a finished answer
    REMEMBERED: ClassVar[int]  # running jobs remembered
    MOST_SECONDS: ClassVar[float]  # from the first run on; a state twice as old is of a job that was given up

    def __init__(self, answers: KeptAnswers[J], wakeups: Wakeups, *, state: type[S], work: type[W]) -> None:
        self._answers = answers
        self._wakeups = wakeups
        self._new_state = state
        self._read = msgspec.json.Decoder(state).decode
        self._new_work = work
        self._work = Bounded[str, W](self.REMEMBERED)

    @abstractmethod
    async def advance(self, job: J, work: W, state: S) -> Made:
        """Do what can be done now. Raises `Deferred` while something is missing."""

    async def __call__(self, ctx: JobContext, job: J) -> None:
        """Raises what `advance` raises, and passing errors of the stores."""
        try:
            await self._run(ctx, job)
        except Deferred:
            raise
        except BaseException as error:
            try:
                if isinstance(error, OrchardError):
                    await self._answers.end(job, Ended(error=error.to_value()))
            finally:
                self._let_go(job)
                await self._forget_state(job)
            raise
        self._let_go(job)

    async def _run(self, ctx: JobContext, job: J) -> None:
        saved = await self._answers.progress(job.key)
        if saved is None and not job.refresh:
            standing = await self._answers.row(job.key)
            if standing is not None:
                await self._answers.remember(job, standing)
                ctx.done()
                return
        state = self._state_of(saved)
        try:
            made = await self.advance(job, self._work_of(job), state)
        except Deferred:
            await self._answers.save_progress(job.key, _encode(state))
            raise
        if made.lasting:
            await self._answers.keep(job, made.body)
        else:
            await self._answers.end(job, Ended(made.body))
            await self._answers.end_progress(job.key)
        ctx.done()
        seconds = round(time.time() - state.started_at, 4)
        log.info(self.LOGGED, key=job.key, seconds=seconds, **made.figures)

    def _state_of(self, saved: bytes | None) -> S:
        now = time.time()
        if saved is not None:
            try:
                state = self._read(saved)
            except msgspec.MsgspecError:  # another version's: begin anew
                return self._new_state(started_at=now)
            if now - state.started_at < 2 * self.MOST_SECONDS:
                return state
        return self._new_state(started_at=now)

    def _work_of(self, job: J) -> W:
        work = self._work.use(job.key)
        if work is None:
            work = self._new_work()
            self._work.put(job.key, work)
        return work

    def _let_go(self, job: J) -> None:
        self._work.pop(job.key)
        self._wakeups.forget(job.id)

    async def _forget_state(self, job: J) -> None:
        try:
            async with asyncio.timeout(2.0):
                await self._answers.end_progress(job.key)
        except Exception as error:  # the state is of no use; a later job deletes it
            log.debug("progress_not_ended", key=job.key, error=type(error).__name__)
