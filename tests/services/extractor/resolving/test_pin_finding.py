"""What an index told of a project's pins, and how its job ended: whether that is the last word."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from services.extractor.resolving.pin_finding import Found, PinFinder
from services.extractor.resolving.progress import EnsureProgress, Lacking
from shared.access.watcher import AccessWatcher
from shared.errors import ErrorValue
from shared.models import FileName
from shared.policy.policy import Policy
from shared.policy.rules import Block, Exemption
from shared.protocols.pypi import PyPIProxy
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


@pytest.mark.parametrize(
    ("digests", "is_kept"),
    [
        ((), True),  # once its bytes are known
        ((("sha256", "a" * 64),), True),
        ((("sha256", "b" * 64),), False),
        ((("sha256", f"{'a' * 64} {'b' * 64}"),), True),
        ((("sha512", "a" * 128),), True),
    ],
)
def test_allowed__a_pin_of_a_blocked_version__if_its_bytes_may_be_exempt(
    digests: tuple[tuple[str, str], ...], is_kept: bool
) -> None:
    blocks, exemptions = [Block(1, "no", "pypi", "demo", "1")], [Exemption(2, "read", sha256="a" * 64)]
    policy = Policy(blocks, exemptions=exemptions)
    finder = PinFinder.__new__(PinFinder)
    finder._access = cast(AccessWatcher, SimpleNamespace(policy=policy))
    pin = Pin("demo", "1.0", digests=digests)
    found: Found = {}
    assert finder._allowed(PyPIProxy(), [pin], found) == ([pin] if is_kept else [])
    assert is_kept == (found == {})
