"""Whoever sends wrong tokens is slowed, and nobody else is."""

from __future__ import annotations

from typing import cast

import pytest

from services.gateway.access import Access
from services.gateway.guesses import WINDOW_SECONDS, Guesses
from shared.access import AccessRepository, AccessState
from shared.errors import TooManyGuesses, Unauthorized
from shared.models import FORMAT
from shared.settings import Settings

MOST_WRONG = 10


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
    guesses = Guesses(MOST_WRONG, clock)
    for _ in range(MOST_WRONG):
        assert guesses.wait_seconds(same) == 0
        guesses.note(guesser)
    assert guesses.wait_seconds(same) == WINDOW_SECONDS
    assert guesses.wait_seconds(other) == 0
    clock.now = WINDOW_SECONDS
    assert guesses.wait_seconds(same) == 0


async def test_token_that_was_good_here__stays_good_beside_a_guesser_and_after_any_change() -> None:
    settings = Settings(admin_token="an-operators-token-9", anonymous_read=False)
    access = Access(settings, cast(AccessRepository, None))
    good = b"Bearer an-operators-token-9"
    access.changed(AccessState(FORMAT, 1))
    access.grant(good, "192.0.2.7")
    for _ in range(MOST_WRONG):
        with pytest.raises((Unauthorized, TooManyGuesses)):
            access.grant(b"Bearer a-wrong-one", "192.0.2.7")
    access.changed(AccessState(FORMAT, 1))
    assert access.grant(good, "192.0.2.7").scope == "admin"
    with pytest.raises(TooManyGuesses):
        access.grant(b"Bearer another-wrong-one", "192.0.2.7")
