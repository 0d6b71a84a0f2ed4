"""Downloads that nobody waits for any more: they go on for a while, then stop and leave nothing behind. And
those of which nobody wants more than small parts: they do not begin.

A client that comes back within the bound finds its download running. Whether another job, or a client that
does not read live bytes, needs the file stands in the queued job (`FetchArtifact.abandonable`).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from services.fetcher.files.spool import Spool
from shared.errors import OrchardError

SMALL_BYTES = 4 * 1024 * 1024  # a file of at most so much is always fetched to its end
GRACE_SECONDS = 3.0  # seconds for the first reader to connect, whatever a fast upstream sends meanwhile
TICK_SECONDS = 0.25
ALONE_SECONDS = 1.0  # after the last reader of a part

_T = TypeVar("_T")


class Abandoned(Exception):
    """Nobody waits for the download any more, and it was stopped."""


@dataclass(frozen=True)
class Bounds:
    """How far a download goes on without readers: whichever is reached first."""

    size_bytes: int
    seconds: float


class Audience:
    """Who reads a download now, and since when nobody does."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self.wants_whole = asyncio.Event()  # a reader has asked for more than a part
        self._readers = 0
        self._left_at: float | None = None  # monotonic; None: readers cannot have come yet
        self._left_size = 0

    def admit(self) -> None:
        """Start the clock: readers can connect from now on."""
        self._left()

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """A context manager around each reader."""
        self._readers += 1
        try:
            yield
        finally:
            self._readers -= 1
            self._left()

    def is_gone(self, bounds: Bounds) -> bool:
        """Whether nobody has read for as long as `bounds` say."""
        total = self._spool.total
        if self._readers or self._left_at is None or (total is not None and total <= SMALL_BYTES):
            return False
        seconds = time.monotonic() - self._left_at
        beyond = self._spool.size - self._left_size > bounds.size_bytes
        return seconds > bounds.seconds or (beyond and seconds > GRACE_SECONDS)

    def is_alone(self) -> bool:
        """Whether the last reader left a while ago, or none came."""
        return (
            not self._readers
            and self._left_at is not None
            and time.monotonic() - self._left_at > ALONE_SECONDS
        )

    def _left(self) -> None:
        self._left_at, self._left_size = time.monotonic(), self._spool.size


async def until_whole_is_wanted(audience: Audience, is_needed: Callable[[], Awaitable[bool]]) -> None:
    """Return once a reader wants the whole file, or the queued job says that somebody needs it. Raises
    `Abandoned` when the readers of its parts have gone before."""
    while not audience.wants_whole.is_set():
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TICK_SECONDS):
                await audience.wants_whole.wait()
                return
        if await _needed(is_needed):
            return
        if audience.is_alone():
            raise Abandoned


async def while_wanted(
    work: Coroutine[Any, Any, _T],
    audience: Audience,
    bounds: Bounds,
    is_needed: Callable[[], Awaitable[bool]],
) -> _T:
    """What `work` returns or raises. Raises `Abandoned` when the readers are gone and the queued job says
    that nobody else needs it; while the queue does not answer it goes on."""
    task = asyncio.ensure_future(work)
    try:
        while True:
            done, _ = await asyncio.wait([task], timeout=TICK_SECONDS)
            if done:
                return task.result()
            if audience.is_gone(bounds) and not await _needed(is_needed) and audience.is_gone(bounds):
                raise Abandoned
    finally:
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def _needed(is_needed: Callable[[], Awaitable[bool]]) -> bool:
    try:
        return await is_needed()
    except OrchardError:
        return True
