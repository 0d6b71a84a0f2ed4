"""Reads the queues' figures for all who look, once a second at most, and keeps some minutes of them.

Whoever looks shares what one read brought: the cost in Redis is that of one reader per gateway,
however many pages and autoscalers ask.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator

import msgspec

from services.gateway.queue_report import QueueReport, compose
from shared.clients.queue import JobQueue
from shared.clients.queue_rates import read_rates
from shared.clients.redis import RedisClient
from shared.errors import OrchardError, TooManyListeners

KEEP_SECONDS = 1.0  # a report is given out again for this long
SAMPLE_SECONDS = 2.0  # between two samples while someone watches
HISTORY = 300  # samples: ten minutes
LINGER_SECONDS = 600.0  # sampling goes on for so long after the last one has left
MAX_LISTENERS = 32

_encode = msgspec.json.Encoder().encode


class Sample(msgspec.Struct, frozen=True):
    """One moment of the history, short: lists in the order of the report's queues. Rates and times are
    those of the minute before."""

    at: float
    ready: list[int]
    running: list[int]
    age: list[float]
    enqueued: list[float]
    finished: list[float]
    failed: list[float]
    wait: list[float]
    run: list[float]


class QueueBoard:
    """Figures on demand (`read`) and as a stream of server-sent events (`events`)."""

    def __init__(self, queue: JobQueue, redis: RedisClient) -> None:
        self._queue = queue
        self._redis = redis
        self._report: QueueReport | None = None
        self._read_at = 0.0  # monotonic
        self._reading: asyncio.Task[QueueReport] | None = None
        self._history: deque[Sample] = deque(maxlen=HISTORY)
        self._message = b""  # the newest sample as an event
        self._number = 0  # of samples taken
        self._sampled = asyncio.Event()  # replaced at each sample
        self._sampler: asyncio.Task[None] | None = None
        self._left_at = 0.0
        self._closed = False
        self.listeners = 0

    async def read(self) -> QueueReport:
        """The report, at most `KEEP_SECONDS` old. Raises `QueueUnavailable`."""
        if self._report is not None and time.monotonic() - self._read_at < KEEP_SECONDS:
            return self._report
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read())
        return await asyncio.shield(self._reading)  # one caller's leaving must not fail the others

    async def _read(self) -> QueueReport:
        at = time.time()
        # Begun in one turn of the loop, both go out in one write.
        depths, rates = await asyncio.gather(self._queue.depths(), read_rates(self._redis))
        self._report, self._read_at = compose(at, depths, rates), time.monotonic()
        return self._report

    async def events(self) -> AsyncGenerator[bytes, None]:
        """The history, then each sample, as messages of `text/event-stream`. Ends when the board is closed.
        A reader that is slow misses samples, never holds them up.

        Raises `TooManyListeners` before the first message.
        """
        if self.listeners >= MAX_LISTENERS:
            raise TooManyListeners(f"{MAX_LISTENERS} pages watch the queues of this gateway already")
        self.listeners += 1
        try:
            seen = 0
            if self._sampler is None or self._sampler.done():
                seen = self._number  # what is there was read long ago
                self._sampler = asyncio.create_task(self._sample(), name="queue samples")
            yield b"retry: 2000\n" + _event(b"history", list(self._history))
            while not self._closed:
                if seen == self._number:
                    await self._sampled.wait()
                else:
                    seen = self._number
                    yield self._message
            yield _event(b"draining", {})
        finally:
            self.listeners -= 1
            self._left_at = time.monotonic()

    def close(self) -> None:
        """End all streams: this gateway stops."""
        self._closed = True
        if self._sampler is not None:
            self._sampler.cancel()
        self._sampled.set()

    async def open(self) -> None:
        """Nothing is read before someone asks."""

    async def aclose(self) -> None:
        """End all streams and stop reading."""
        self.close()
        for task in (self._sampler, self._reading):
            if task is not None:
                await asyncio.gather(task, return_exceptions=True)

    async def _sample(self) -> None:
        self._left_at = time.monotonic()
        while self.listeners or time.monotonic() - self._left_at < LINGER_SECONDS:
            started = time.monotonic()
            try:
                report = await self.read()
                self._history.append(_sample_of(report))
                self._message = _event(b"figures", report)
            except OrchardError as error:
                self._message = _event(b"unavailable", {"at": time.time(), "detail": error.message})
            self._number += 1
            self._sampled.set()
            self._sampled = asyncio.Event()
            await asyncio.sleep(max(0.0, started + SAMPLE_SECONDS - time.monotonic()))
        self._history.clear()  # a gap of unknown length is no history


def _sample_of(report: QueueReport) -> Sample:
    queues = list(report.queues.values())
    return Sample(
        at=report.at,
        ready=[each.ready for each in queues],
        running=[each.running for each in queues],
        age=[each.oldest_age_seconds for each in queues],
        enqueued=[each.last_minute.enqueued_per_second for each in queues],
        finished=[each.last_minute.finished_per_second for each in queues],
        failed=[each.last_minute.failed_per_second for each in queues],
        wait=[each.last_minute.wait_seconds for each in queues],
        run=[each.last_minute.run_seconds for each in queues],
    )


def _event(name: bytes, value: object) -> bytes:
    return b"event: " + name + b"\ndata: " + _encode(value) + b"\n\n"  # JSON here has no line breaks
