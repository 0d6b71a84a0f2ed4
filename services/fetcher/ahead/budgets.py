"""What was fetched ahead and not asked for yet: budgets of it, and whether it is worth its bytes. No I/O.

Kept in this process, for what this process guessed. N fetchers have N budgets.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from services.fetcher.ahead.came import Came
from shared.queue.jobs import FetchArtifact, FetchIndex
from shared.telemetry.metrics import AHEAD_ASKED, AHEAD_FETCHED, AHEAD_UNASKED_BYTES

ASKED_WITHIN_SECONDS = 60.0  # what nobody asked for by then was wrong
MOST_OF_CLIENT = 64  # guesses that are not asked for yet
MOST_OF_SOURCE = 256
TRICKLE = 2  # … of a source whose guesses are of little use
MOST_BYTES_OF_CLIENT = 16 * 1024 * 1024
MOST_BYTES_OF_SOURCE = 64 * 1024 * 1024

ENOUGH = 0.7  # asked for later, of what was fetched ahead: below it a trickle is left
TOO_LITTLE = 0.5  # below it nothing is
HALF_LIFE_SECONDS = 600.0  # of what is remembered: so long it takes a source that is off to come back
TRUST, TRUST_BYTES = 10.0, 1024 * 1024.0
"""Of a source of which nothing is known so much counts as fetched ahead, and four fifths as asked for."""


GuessedJob = FetchIndex | FetchArtifact


class Held(msgspec.Struct):
    """One guess. `size` None: it is in flight."""

    job: GuessedJob
    source_id: int
    source: str
    client: str
    is_sure: bool  # it is known which versions are wanted: what follows need not wait until it is asked for
    at: float
    size: int | None = None
    asked: bool = False
    then: Came | None = None  # what follows it, once it is asked for


class Figure:
    """How much was fetched ahead of one source and how much of it was asked for, the more recent the more it
    counts."""

    def __init__(self, now: float) -> None:
        self._at = now
        self._fetched = self._asked = self._bytes = self._asked_bytes = 0.0

    def count(self, now: float, size: int, *, asked: bool) -> None:
        """One guess is settled."""
        self._age(now)
        self._fetched += 1
        self._bytes += size
        if asked:
            self._asked += 1
            self._asked_bytes += size

    def usefulness(self, now: float) -> float:
        """Asked for, of fetched ahead: of the count or of the bytes, whichever is less."""
        self._age(now)
        count = (self._asked + 0.8 * TRUST) / (self._fetched + TRUST)
        size = (self._asked_bytes + 0.8 * TRUST_BYTES) / (self._bytes + TRUST_BYTES)
        return min(count, size)

    def _age(self, now: float) -> None:
        left = 0.5 ** (max(0.0, now - self._at) / HALF_LIFE_SECONDS)
        self._at = now
        self._fetched *= left
        self._asked *= left
        self._bytes *= left
        self._asked_bytes *= left


class Budgets:
    """The guesses of one process."""

    def __init__(self, *, in_flight: int, now: Callable[[], float] = time.monotonic) -> None:
        """`in_flight`: of one source at once."""
        self._in_flight = in_flight
        self._now = now
        self._held: dict[str, Held] = {}  # the oldest first
        self._figures: dict[int, Figure] = {}
        self._names: dict[int, str] = {}

    def __contains__(self, job_id: str) -> bool:
        return job_id in self._held

    def usefulness(self, source_id: int) -> float:
        """Of what was fetched ahead of a source, the part that was asked for."""
        return self._figure(source_id).usefulness(self._now())

    def figures(self) -> list[tuple[str, float]]:
        """The usefulness of each source of which something was fetched ahead, by its name."""
        return [(self._names[each], self.usefulness(each)) for each in self._figures if each in self._names]

    def take(self, job: GuessedJob, source_id: int, source: str, *, is_sure: bool) -> bool:
        """Whether a guess may be made; it is held then."""
        client = job.asker.client if job.asker is not None else ""
        if job.id in self._held or not self._may(source_id, client):
            return False
        self._names[source_id] = source
        self._held[job.id] = Held(job, source_id, source, client, is_sure, self._now())
        return True

    def drop(self, job_id: str) -> None:
        """Nothing was fetched by it, or not ahead: it says nothing."""
        self._held.pop(job_id, None)

    def fetched(self, job_id: str, size: int) -> Held | None:
        """It ended, having taken so many bytes. None: it is not held."""
        held = self._held.get(job_id)
        if held is None:
            return None
        held.size = size
        AHEAD_FETCHED.labels(held.source).inc()
        if held.asked:
            self._settle(held)
        return held

    def failed(self, job_id: str) -> None:
        """It came to nothing: as wrong as one that nobody asks for."""
        held = self._held.get(job_id)
        if held is None:
            return
        held.size = held.size or 0
        AHEAD_FETCHED.labels(held.source).inc()
        self._settle(held)

    def asked(self, job_id: str) -> Came | None:
        """Somebody asked for it; what follows it and waited for that."""
        held = self._held.get(job_id)
        if held is None:
            return None
        held.asked = True
        if held.size is not None:
            self._settle(held)
        return held.then

    def forget_old(self) -> list[str]:
        """Give up what nobody asked for in time; the jobs of those that never ended."""
        oldest = self._now() - ASKED_WITHIN_SECONDS
        old = [held for held in self._held.values() if held.at < oldest]
        lost = [held.job.id for held in old if held.size is None]
        for job_id in lost:
            self.drop(job_id)
        for held in old:
            if held.size is not None:
                self._settle(held)
        return lost

    def _settle(self, held: Held) -> None:
        del self._held[held.job.id]
        self._figure(held.source_id).count(self._now(), held.size or 0, asked=held.asked)
        if held.asked:
            AHEAD_ASKED.labels(held.source).inc()
        else:
            AHEAD_UNASKED_BYTES.labels(held.source).inc(held.size or 0)

    def _figure(self, source_id: int) -> Figure:
        return self._figures.setdefault(source_id, Figure(self._now()))

    def _may(self, source_id: int, client: str) -> bool:
        useful = self.usefulness(source_id)
        if useful < TOO_LITTLE:
            return False
        of_source = [held for held in self._held.values() if held.source_id == source_id]
        if sum(held.size is None for held in of_source) >= self._in_flight:
            return False
        most = MOST_OF_SOURCE if useful >= ENOUGH else TRICKLE
        if len(of_source) >= most or sum(held.size or 0 for held in of_source) >= MOST_BYTES_OF_SOURCE:
            return False
        of_client = [held for held in self._held.values() if held.client == client]
        return (
            len(of_client) < MOST_OF_CLIENT
            and sum(held.size or 0 for held in of_client) < MOST_BYTES_OF_CLIENT
        )
