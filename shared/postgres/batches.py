"""`BatchWriter`: many callers, few statements, and one bad row fails alone.

An item is written at once when nothing is being written; under load items gather until there are
`max_rows` of them or the oldest has waited `max_wait_seconds` (measured: batches of 100 artifacts
are 8–9 times faster than single ones).
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from shared.errors import InvalidData
from shared.errors.passing import ShuttingDown
from shared.telemetry.metrics import BATCH_ROWS

Item = TypeVar("Item")
Result = TypeVar("Result")

_Entry = tuple[Item, "asyncio.Future[Result]"]


class BatchWriter(Generic[Item, Result]):
    """Collects items for `write`, which returns one result per item, in order.

    `write` raising `InvalidData` makes the batch be split until the item at fault is alone; any
    other error goes to all items of the batch. The caller closes the writer, which flushes.
    """

    def __init__(
        self,
        write: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]],
        *,
        max_rows: int = 100,
        max_wait_seconds: float = 0.02,
        max_flushes: int = 2,
    ) -> None:
        """`max_flushes`: how many batches may be written at the same time."""
        self._write = write
        self._max_rows = max_rows
        self._count_rows = BATCH_ROWS.labels(getattr(write, "__name__", "other")).observe
        self._max_wait_seconds = max_wait_seconds
        self._max_flushes = max_flushes
        self._pending: list[_Entry[Item, Result]] = []
        self._flushes: set[asyncio.Task[None]] = set()
        self._timer: asyncio.Handle | None = None
        self._overdue = False
        self._closed = False

    async def add(self, item: Item) -> Result:
        """The result of this item, once written. Raises what `write` raised for it, or
        `ShuttingDown` after `aclose`. An item whose caller gave up is written all the same."""
        if self._closed:
            raise ShuttingDown("no more rows are taken")
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Result] = loop.create_future()
        self._pending.append((item, done))
        if len(self._pending) >= self._max_rows:
            self._start_flushes()
        elif self._timer is None:
            # Idle: at the end of this turn of the loop, so that what is added together is written
            # together. Busy: when the oldest has waited long enough.
            if self._flushes:
                self._timer = loop.call_later(self._max_wait_seconds, self._wait_is_over)
            else:
                self._timer = loop.call_soon(self._wait_is_over)
        return await done

    async def aclose(self) -> None:
        """Writes what is pending and returns when all of it is done."""
        self._closed = True
        self._overdue = True
        self._start_flushes()
        while self._flushes:
            await asyncio.wait(set(self._flushes))

    def _wait_is_over(self) -> None:
        self._timer = None
        self._overdue = True
        self._start_flushes()

    def _start_flushes(self) -> None:
        while self._pending and len(self._flushes) < self._max_flushes:
            if len(self._pending) < self._max_rows and not self._overdue:
                return
            batch, self._pending = self._pending[: self._max_rows], self._pending[self._max_rows :]
            if not self._pending:
                self._overdue = False
                self._stop_timer()
            # In a context of its own: a batch is of many requests, so no one's deadline binds it.
            task = asyncio.create_task(self._flush(batch), context=contextvars.Context())
            self._flushes.add(task)
            task.add_done_callback(self._flushed)

    def _flushed(self, task: asyncio.Task[None]) -> None:
        self._flushes.discard(task)
        if not self._flushes and self._pending:
            self._overdue = True  # nothing is being written: no reason to wait
        self._start_flushes()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _flush(self, batch: list[_Entry[Item, Result]]) -> None:
        self._count_rows(len(batch))
        try:
            results = await self._write([item for item, _ in batch])
            if len(results) != len(batch):
                raise RuntimeError(f"{len(results)} results for {len(batch)} items")
        except InvalidData as error:
            if len(batch) == 1:
                self._fail(batch, error)
                return
            middle = len(batch) // 2
            await self._flush(batch[:middle])
            await self._flush(batch[middle:])
        except asyncio.CancelledError:
            self._fail(batch, ShuttingDown("the write was given up"))
            raise
        except Exception as error:
            self._fail(batch, error)
        else:
            for (_, done), result in zip(batch, results, strict=True):
                if not done.done():
                    done.set_result(result)

    @staticmethod
    def _fail(batch: list[_Entry[Item, Result]], error: Exception) -> None:
        for _, done in batch:
            if not done.done():
                done.set_exception(error)
