"""What an index told of a project's pins, and how its job ended: whether that is the last word."""

from __future__ import annotations

import pytest

from services.extractor.resolving.pin_finding import Found, PinFinder
from services.extractor.resolving.progress import EnsureProgress, Lacking
from shared.errors import ErrorValue
from shared.models import FileName
from shared.protocols.roles.pins import Pin
from shared.queue.events import Event
from shared.queue.jobs import FetchIndex

JOB = FetchIndex("pypi", "simple/demo")
PIN, OTHER = Pin("demo", "1.0"), Pin("demo", "2.0")
FILE = FileName("pypi", "demo", "a" * 64, "demo-1.0.tar.gz")
ABSENT = Lacking("absent", "its index does not list it")


def failed(code: str, generation: int) -> Event:
    return Event(JOB.id, "failed", generation=generation, error=ErrorValue(code, "why"))


@pytest.mark.parametrize(
    ("answer", "event", "kept"),
    [
        (FILE, None, FILE),
        (ABSENT, None, None),
        (ABSENT, Event(JOB.id, "done", generation=1), ABSENT),
        (ABSENT, failed("blocked", 1), Lacking("refused", "blocked: why")),
        (ABSENT, failed("project_not_found", 1), Lacking("absent", "project_not_found: why")),
        (ABSENT, failed("upstream_timeout", 1), None),
    ],
)
def test_settle__absent_only_when_the_index_was_asked(
    answer: FileName | Lacking, event: Event | None, kept: FileName | Lacking | None
) -> None:
    found: Found = {}
    progress = EnsureProgress(started_at=0.0)
    over = PinFinder._settle(JOB, event, {PIN: answer, OTHER: FILE}, found, progress)
    assert (found.get(PIN), over) == (kept, kept is not None) and found[OTHER] == FILE


def test_settle__a_passing_failure__is_tried_again_and_never_taken_for_absence() -> None:
    found: Found = {}
    progress = EnsureProgress(started_at=0.0)
    generation = 0
    while not found:
        generation += 1
        assert generation < 10
        PinFinder._settle(JOB, failed("upstream_timeout", generation), {PIN: ABSENT}, found, progress)
    assert found == {PIN: Lacking("failed", "upstream_timeout: why", passing=True)} and generation > 1
