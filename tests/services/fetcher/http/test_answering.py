"""What a fetcher tells of how its upstreams answer, and what a gateway makes of several fetchers' words."""

from __future__ import annotations

from services.fetcher.http import answering
from services.fetcher.http.answering import Answering
from shared.sources.answered import Answered, together


def test_answers__times_and_failures__are_told_by_source() -> None:
    kept = Answering()
    for seconds in (0.1, 0.2, 0.9):
        kept.note(7, 200, seconds)
    kept.note(7, 404, 0.3)
    kept.note(7, 503, 0.4)
    kept.note_failure(8, "upstream b does not answer")
    told = kept.told()
    one, other = told["7"], told["8"]
    assert (one.requests, one.failures, one.median_seconds, one.slowest_seconds) == (5, 1, 0.3, 0.9)
    assert one.why == "it answered 503" and one.answered_at and one.failed_at
    assert (other.requests, other.failures, other.median_seconds, other.answered_at) == (1, 1, 0.0, 0.0)
    assert other.why == "upstream b does not answer"


def test_answers__of_many_sources__those_asked_last_are_told() -> None:
    kept = Answering()
    for source in range(answering.MOST_SOURCES + 2):
        kept.note(source, 200, 0.1)
        kept.note(0, 200, 0.1)
    told = kept.told()
    assert len(told) == answering.MOST_SOURCES and "0" in told and "1" not in told


def test_together__several_fetchers__the_newest_failure_and_the_middle_time() -> None:
    fetchers = [
        Answered(10, 1, 0.1, 0.5, 100.0, 90.0, "old"),
        Answered(5, 2, 0.3, 0.4, 50.0, 99.0, "new"),
        Answered(1, 1, 0.0, 0.0, 0.0, 1.0, "first"),
        Answered(),
    ]
    assert together(fetchers) == Answered(16, 4, 0.2, 0.5, 100.0, 99.0, "new")
    assert together([Answered()]) is None and together([]) is None
