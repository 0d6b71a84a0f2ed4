"""The queues' figures as people, KEDA and the page `/ui/queues` read them, with some minutes of their past.

They are read once a second at most, and whoever looks shares what one read brought: the cost in Redis is that
of one reader per gateway, however many pages and autoscalers ask. Paths such as `queues.index.ready` and
`scaling.fetcher.ready` are stable: autoscalers name them.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence

import msgspec

from shared.errors import OrchardError
from shared.errors.passing import TooManyListeners
from shared.process.periodic import NEVER, Every
from shared.queue.jobs import ARTIFACT, EXTRACT, INDEX, RESOLVE
from shared.queue.keys import QueueDepth
from shared.queue.producer import JobQueue
from shared.queue.rates import QueueRates, read_rates
from shared.redis.client import RedisClient

SCALED_BY: Mapping[str, tuple[str, ...]] = {"fetcher": (INDEX, ARTIFACT), "extractor": (EXTRACT, RESOLVE)}
"""The queues whose waiting jobs call for more of a service. `refresh` and `ahead` do not: nobody
waits for them."""


class QueueWindow(msgspec.Struct, frozen=True):
    """What happened over a window that ends now. Times are means over the jobs of the window, in seconds;
    0 when there were none."""

    enqueued_per_second: float
    finished_per_second: float
    failed_per_second: float
    retried_per_second: float
    wait_seconds: float  # from due to started
    run_seconds: float  # from started to ended
    longest_wait_seconds: float
    longest_run_seconds: float


class QueueFigures(msgspec.Struct, frozen=True):
    """One queue, or all of them together."""

    ready: int  # due, waiting for a slot
    running: int
    deferred: int  # due later
    dead: int  # given up, kept for a person to look at
    oldest_age_seconds: float  # how long the first ready job has been due
    last_minute: QueueWindow
    last_five_minutes: QueueWindow


class ScalingFigures(msgspec.Struct, frozen=True):
    """What an autoscaler of one service asks for."""

    ready: int
    oldest_age_seconds: float


class QueueReport(msgspec.Struct, frozen=True):
    """The body of `GET /api/v1/queues`."""

    at: float  # unix seconds at which it was read
    queues: dict[str, QueueFigures]
    total: QueueFigures
    scaling: dict[str, ScalingFigures]  # by service


def compose(
    at: float, depths: Mapping[str, QueueDepth], rates: Mapping[str, Sequence[QueueRates]]
) -> QueueReport:
    """The report of what was read at one moment."""
    return QueueReport(
        at=round(at, 3),
        queues={name: _figures([depth], [rates[name]]) for name, depth in depths.items()},
        total=_figures(depths.values(), rates.values()),
        scaling={
            service: ScalingFigures(
                ready=sum(depths[name].ready for name in names),
                oldest_age_seconds=round(max(depths[name].oldest_age_seconds for name in names), 3),
            )
            for service, names in SCALED_BY.items()
        },
    )


def _figures(depths: Iterable[QueueDepth], rates: Iterable[Sequence[QueueRates]]) -> QueueFigures:
    known = list(depths)
    minute, five_minutes = zip(*rates, strict=True)
    return QueueFigures(
        ready=sum(each.ready for each in known),
        running=sum(each.running for each in known),
        deferred=sum(each.deferred for each in known),
        dead=sum(each.dead for each in known),
        oldest_age_seconds=round(max(each.oldest_age_seconds for each in known), 3),
        last_minute=_window(minute),
        last_five_minutes=_window(five_minutes),
    )


def _window(rates: Sequence[QueueRates]) -> QueueWindow:
    seconds = rates[0].seconds
    started = sum(each.started for each in rates)
    ended = sum(each.finished + each.failed + each.dead for each in rates)
    return QueueWindow(
        enqueued_per_second=round(sum(each.enqueued for each in rates) / seconds, 3),
        finished_per_second=round(sum(each.finished for each in rates) / seconds, 3),
        failed_per_second=round(sum(each.failed + each.dead for each in rates) / seconds, 3),
        retried_per_second=round(sum(each.retried for each in rates) / seconds, 3),
        wait_seconds=round(sum(each.wait_seconds for each in rates) / max(1, started), 6),
        run_seconds=round(sum(each.run_seconds for each in rates) / max(1, ended), 6),
        longest_wait_seconds=round(max(each.longest_wait_seconds for each in rates), 6),
        longest_run_seconds=round(max(each.longest_run_seconds for each in rates), 6),
    )


KEEP_SECONDS = 1.0  # a report is given out again for this long
SAMPLE_SECONDS = 2.0  # between two samples while someone watches
HISTORY = 300  # samples: ten minutes
LINGER_SECONDS = 600.0  # seconds that sampling goes on after the last viewer has left
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
        self._sampler = Every(SAMPLE_SECONDS, self._sample, name="queue samples", first_seconds=NEVER)
        self._sampling = False
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
            if not self._sampling:
                seen = self._number  # the report that is cached is too old
                self._sampling = True
                self._sampler.wake()
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
        self._sampled.set()

    async def open(self) -> None:
        """Make ready; nothing is read before someone asks."""
        await self._sampler.open()

    async def aclose(self) -> None:
        """End all streams and stop reading."""
        self.close()
        await self._sampler.aclose()
        if self._reading is not None:
            await asyncio.gather(self._reading, return_exceptions=True)

    async def _sample(self) -> float:
        started = time.monotonic()
        if not self.listeners and started - self._left_at >= LINGER_SECONDS:
            self._sampling = False
            self._history.clear()  # a gap of unknown length is no history
            return NEVER
        try:
            report = await self.read()
            self._history.append(_sample_of(report))
            self._message = _event(b"figures", report)
        except OrchardError as error:
            self._message = _event(b"unavailable", {"at": time.time(), "detail": error.message})
        self._number += 1
        self._sampled.set()
        self._sampled = asyncio.Event()
        return max(0.0, started + SAMPLE_SECONDS - time.monotonic())


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
