"""`Every`: periodic work of a process in the background, from its start to its stop. `Backoff`: how long to
wait before the next try of what failed."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Awaitable, Callable

from shared.errors import OrchardError
from shared.telemetry.logs import get_logger

log = get_logger()

Work = Callable[[], Awaitable[float | None]]
"""One turn. Returns the seconds until the next one: None for the usual pause, `NEVER` to be woken."""

NEVER = math.inf


class Every:
    """Runs `work` in turns, never two at a time. The caller opens and closes it.

    What a turn raises ends that turn alone: it is logged, once for as long as it stays the same, and the
    next one comes.
    """

    def __init__(
        self,
        seconds: float,
        work: Work,
        *,
        name: str,
        first_seconds: float | None = None,
        retry_seconds: float | None = None,
    ) -> None:
        """`seconds`: the pause from the end of a turn to the next. `first_seconds`: before the first turn
        (0: at once), `retry_seconds`: after one that raised; None: as usual."""
        self._seconds = seconds
        self._work = work
        self._name = name
        self._first_seconds = seconds if first_seconds is None else first_seconds
        self._retry_seconds = seconds if retry_seconds is None else retry_seconds
        self._awake = asyncio.Event()
        self._failed = ""  # what the last turn raised
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Start; waits for no turn."""
        self._task = asyncio.create_task(self._run(), name=self._name)

    async def aclose(self) -> None:
        """Stop, in the middle of a turn if need be."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def wake(self) -> None:
        """Have the next turn now; if one is running, one more right after it."""
        self._awake.set()

    async def _run(self) -> None:
        pause = self._first_seconds
        while self._task is not None:  # closed: a library in the turn may have swallowed the cancelling
            try:
                async with asyncio.timeout(None if pause == NEVER else pause):
                    await self._awake.wait()
            except TimeoutError:
                pass
            self._awake.clear()
            pause = await self._turn()

    async def _turn(self) -> float:
        try:
            pause = await self._work()
        except Exception as error:  # without a next turn this work would never be done again
            self._report(error)
            return self._retry_seconds
        self._failed = ""
        return self._seconds if pause is None else pause

    def _report(self, error: Exception) -> None:
        known, self._failed = self._failed, repr(error)
        if self._failed == known:
            return
        if isinstance(error, OrchardError):  # a store is away
            log.info("periodic_work_failed", work=self._name, error=error.code)
        else:
            log.error("periodic_work_broken", work=self._name, exc_info=error)


class Backoff:
    """Each pause is `factor` times as long as the one before, at most `last_seconds`, less a random part of
    up to a half: many who lost the same server do not come back in one moment."""

    def __init__(self, first_seconds: float, last_seconds: float, *, factor: float = 2.0) -> None:
        self._first_seconds = first_seconds
        self._last_seconds = last_seconds
        self._factor = factor
        self._next = 0.0

    @property
    def begun(self) -> bool:
        """Whether something has failed since the last `reset`."""
        return self._next > 0

    def pause(self) -> float:
        """Seconds to wait after one more failure."""
        now = self._next or self._first_seconds
        self._next = min(self._last_seconds, now * self._factor)
        return now * random.uniform(0.5, 1.0)

    def reset(self) -> None:
        """It went well."""
        self._next = 0.0
