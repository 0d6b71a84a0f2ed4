"""`Answering`: how each source answers this fetcher, for its heartbeat."""

from __future__ import annotations

import time
from collections import deque
from statistics import median

from shared.sources.answered import Answered

LAST = 100  # answers whose times are kept of each source
MOST_SOURCES = 200  # those asked last
LONGEST_WHY = 200  # characters


class _Of:
    def __init__(self) -> None:
        self.requests = self.failures = 0
        self.seconds: deque[float] = deque(maxlen=LAST)
        self.answered_at = self.failed_at = 0.0
        self.why = ""


class Answering:
    """Counts since the process began; not for threads."""

    def __init__(self) -> None:
        self._known: dict[int, _Of] = {}

    def note(self, source_id: int, status: int, seconds: float) -> None:
        """An answer, by its head."""
        of = self._of(source_id)
        of.seconds.append(seconds)
        if status == 429 or status >= 500:
            self._failed(of, f"it answered {status}")
        else:
            of.answered_at = time.time()

    def note_failure(self, source_id: int, why: str) -> None:
        """No answer."""
        self._failed(self._of(source_id), why)

    def told(self) -> dict[str, Answered]:
        """By source id."""
        return {
            str(source_id): Answered(
                of.requests,
                of.failures,
                round(median(of.seconds), 4) if of.seconds else 0.0,
                round(max(of.seconds, default=0.0), 4),
                of.answered_at,
                of.failed_at,
                of.why,
            )
            for source_id, of in self._known.items()
        }

    def _of(self, source_id: int) -> _Of:
        of = self._known.pop(source_id, None) or _Of()
        self._known[source_id] = of  # the last asked is the last
        if len(self._known) > MOST_SOURCES:
            del self._known[next(iter(self._known))]
        of.requests += 1
        return of

    @staticmethod
    def _failed(of: _Of, why: str) -> None:
        of.failures += 1
        of.failed_at, of.why = time.time(), why[:LONGEST_WHY]
