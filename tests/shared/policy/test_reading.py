"""What is said of a policy file with a word that no rule has."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from shared.policy.reading import _check_fields


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ({"nmaes": ["x"]}, "has no 'nmaes'; did you mean 'names'?"),
        ({"licences": {"alow": ["MIT"]}}, "has no 'alow'; did you mean 'allow'?"),
        ({"zzz": 1}, "has no 'zzz'$"),
    ],
)
def test_unknown_word__is_told_with_the_one_it_is_near_to(rule: dict[str, Any], told: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=told):
        _check_fields([{"name": "a", **rule}])
