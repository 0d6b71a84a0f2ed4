"""A fair semaphore for database connections, whose waits a deadline or a lost server can end.

asyncpg's pool has a queue too, but nothing can end a wait in it when the server is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Iterator
from contextvars import ContextVar

from shared.errors.passing import DatabaseUnavailable

_DEADLINE: ContextVar[float | None] = ContextVar("database_deadline", default=None)


@contextlib.contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Within the block no wait for a free connection outlasts `seconds` from now (a request's limit)."""
    token = _DEADLINE.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _DEADLINE.reset(token)


class Slots:
    """At most `limit` at a time; who comes later waits up to `timeout` seconds, in order."""

    def __init__(self, limit: int, timeout: float) -> None:
        self._limit = limit
        self._timeout = timeout
        self._waiting: deque[asyncio.Future[None]] = deque()
        self.active = 0

    @property
    def waiting(self) -> int:
        """How many wait for their turn."""
        return len(self._waiting)

    async def take(self) -> None:
        """Returns once a slot is ours. Raises `DatabaseUnavailable` if none came free in time."""
        if self.active < self._limit and not self._waiting:
            self.active += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(self._patience()):
                await turn  # the slot is handed over: `active` stays as it is
        except (TimeoutError, asyncio.CancelledError) as error:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.free()  # it came at the very moment we gave up
            elif turn in self._waiting:
                self._waiting.remove(turn)
            if isinstance(error, TimeoutError):
                raise DatabaseUnavailable(
                    "no free PostgreSQL connection in time (ORCHARD_DATABASE_POOL_SIZE, _MAX_OVERFLOW)"
                ) from None
            raise

    def free(self) -> None:
        """Hands our slot to the next in line."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self.active -= 1

    def fail_waiting(self, why: str) -> None:
        """All who wait get `DatabaseUnavailable` now."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_exception(DatabaseUnavailable(why))

    def _patience(self) -> float:
        until = _DEADLINE.get()
        return self._timeout if until is None else min(self._timeout, max(0.0, until - time.monotonic()))
