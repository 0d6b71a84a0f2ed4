"""A bounded thread pool for blocking work (disk, hashing, compressing), with figures.

The event loop's default executor is shared with name look-ups and has no figures; this pool has
its own size (ORCHARD_HTTP_WORKER_THREADS) and shows active/max in /health.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from shared.errors.passing import ShuttingDown

P = ParamSpec("P")
R = TypeVar("R")


class BoundedThreads:
    """A thread pool of `max` threads. Whoever constructs it closes it with `aclose`."""

    def __init__(self, max_threads: int, *, name: str = "orchard") -> None:
        self._executor = ThreadPoolExecutor(max_threads, thread_name_prefix=name)
        self._max = max_threads
        self._submitted = 0
        self._closed = False
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def max(self) -> int:
        """Number of threads at most."""
        return self._max

    @property
    def active(self) -> int:
        """Threads busy now (0 … max)."""
        return min(self._submitted, self._max)

    @property
    def waiting(self) -> int:
        """Calls that wait for a free thread."""
        return max(0, self._submitted - self._max)

    async def run(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """The function's result; its exception passes through.

        Cancellation returns at once; a call that has started runs to its end in its thread (and
        counts as active until then), one that waits never starts. Raises `ShuttingDown` once closed.
        """
        if self._closed:
            raise ShuttingDown("the worker threads are closed")
        future = self._executor.submit(function, *args, **kwargs)
        loop = asyncio.get_running_loop()
        self._submitted += 1
        self._idle.clear()
        future.add_done_callback(lambda _: self._ended(loop))
        return await asyncio.wrap_future(future, loop=loop)

    def _ended(self, loop: asyncio.AbstractEventLoop) -> None:
        # Runs in the worker thread, or in the loop's when a waiting call is cancelled.
        try:
            loop.call_soon_threadsafe(self._count_down)
        except RuntimeError:  # the loop is closed: nobody reads the figure any more
            self._submitted -= 1

    def _count_down(self) -> None:
        self._submitted -= 1
        if self._submitted == 0:
            self._idle.set()

    async def aclose(self) -> None:
        """Refuse new calls, drop waiting ones, wait for running ones (the caller bounds the wait)."""
        self._closed = True
        self._executor.shutdown(wait=False, cancel_futures=True)
        await self._idle.wait()

    def __repr__(self) -> str:
        return f"BoundedThreads(active={self.active}, max={self.max}, waiting={self.waiting})"
