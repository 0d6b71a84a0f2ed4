"""What `orchard held show` says of a change."""

from __future__ import annotations

from typing import Any

import pytest

from services.cli.commands.policy import _value


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (["evil", "more"], "evil, more"),
        (["", "MIT"], "none, MIT"),
        (True, "yes"),
        (2.5, "2.5"),
        ("1.0.0", "1.0.0"),
    ],
)
def test_change__is_told_in_words(value: Any, told: str) -> None:
    assert _value(value) == told
