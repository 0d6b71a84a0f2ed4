"""A child gets the question and nothing of our environment, and does not outlive its time."""

from __future__ import annotations

import json

import pytest

from shared.process.child import answer_of

CHILD = "tests.shared.process.environment"


async def test_child__is_asked__knows_nothing_of_our_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHARD_DATABASE_URL", "postgresql://u:secret@db/x")
    question, known = json.loads(await answer_of(CHILD, b"what?", 60))
    assert question == "what?"
    assert not any(each.startswith("ORCHARD_") for each in known)


async def test_child__that_takes_too_long__is_ended() -> None:
    with pytest.raises(TimeoutError):
        await answer_of(CHILD, b"", 0.001)


async def test_child__that_dies__has_said_nothing() -> None:
    assert await answer_of("tests.shared.process.no_such_module", b"", 60) == b""
