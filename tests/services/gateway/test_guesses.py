"""Whoever sends wrong tokens is slowed, and nobody else is."""

from __future__ import annotations

import pytest

from services.gateway.guesses import MOST_WRONG, WINDOW_SECONDS, Guesses


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("guesser", "same", "other"),
    [
        ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
        ("2001:db8::1", "2001:db8::ffff:2", "2001:db8:0:1::1"),
        ("::ffff:192.0.2.7", "::ffff:192.0.2.7", "::ffff:192.0.2.8"),
    ],
)
def test_guesses__one_address__waits_out_its_minute_and_no_other_does(
    guesser: str, same: str, other: str
) -> None:
    clock = Clock()
    guesses = Guesses(clock)
    for _ in range(MOST_WRONG):
        assert guesses.wait_seconds(same) == 0
        guesses.note(guesser)
    assert guesses.wait_seconds(same) == WINDOW_SECONDS
    assert guesses.wait_seconds(other) == 0
    clock.now = WINDOW_SECONDS
    assert guesses.wait_seconds(same) == 0
