"""How a source has answered lately, as fetchers tell it in their heartbeats."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

import msgspec


class Answered(msgspec.Struct, frozen=True, omit_defaults=True):
    """Of one fetcher since it started, or of several. Times in unix seconds, 0: never."""

    requests: int = 0
    failures: int = 0  # of them: no answer, 429, or a status from 500 on
    median_seconds: float = 0.0  # to the head of an answer, of the last hundred of each fetcher
    slowest_seconds: float = 0.0  # of these
    answered_at: float = 0.0  # the last that was no failure
    failed_at: float = 0.0
    why: str = ""  # of the last failure


def together(found: Sequence[Answered]) -> Answered | None:
    """Of all fetchers; None where none has asked it."""
    asked = [each for each in found if each.requests]
    if not asked:
        return None
    failed = max(asked, key=lambda each: each.failed_at)
    timed = [each.median_seconds for each in asked if each.median_seconds]
    return Answered(
        requests=sum(each.requests for each in asked),
        failures=sum(each.failures for each in asked),
        median_seconds=median(timed) if timed else 0.0,
        slowest_seconds=max(each.slowest_seconds for each in asked),
        answered_at=max(each.answered_at for each in asked),
        failed_at=failed.failed_at,
        why=failed.why,
    )
