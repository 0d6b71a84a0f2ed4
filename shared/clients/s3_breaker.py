"""Leaves an S3 server alone that does not answer: one request asks it now and then, others fail at once.

Without it each request waits out the whole time limit, and a gateway fills up with requests that wait. Only
silence counts (time-outs, connections refused or cut before a response's head); a refusal is an answer.
"""

from __future__ import annotations

from time import monotonic

from shared.errors import StoreUnavailable
from shared.logs import get_logger

log = get_logger()

SILENCES = 4  # in a row, of all requests of this process
PAUSE_SECONDS = 2.0
PROBE_SECONDS = 5.0  # how long the one that asks may take before another one may


class StoreBreaker:
    """One per process and store."""

    def __init__(self) -> None:
        self._silences = 0
        self._closed_until = 0.0  # nobody asks before

    def check(self) -> None:
        """Before each try. Raises `StoreUnavailable` while the server is left alone."""
        if self._silences < SILENCES:
            return
        now = monotonic()
        if now < self._closed_until:
            raise StoreUnavailable("the object store did not answer lately; it is asked again in a moment")
        self._closed_until = now + PROBE_SECONDS  # this one asks

    def answered(self) -> None:
        """The server said something."""
        if self._silences >= SILENCES:
            log.warning("object_store_answers_again")
        self._silences = 0

    def silent(self) -> None:
        """It said nothing."""
        self._silences += 1
        if self._silences >= SILENCES:
            self._closed_until = monotonic() + PAUSE_SECONDS
            if self._silences == SILENCES:
                log.warning("object_store_silent", pause_seconds=PAUSE_SECONDS)
