"""Conditions in CEL: what holds, and what is refused before it costs anything."""

from __future__ import annotations

import pytest

from shared.policy.conditions import FACTS, BadCondition, check, holds

GOOD = [
    "name == 'left-pad'",
    "dependencies.exists(d, d.startsWith('x')) || new_maintainers.size() > 0",
    "size_bytes > 10 && !scripts && published < 3.0",
    "name.matches('^(a+)+$')",
    "'//' == name || \"it's\" == name",
    "licence in ['MIT', 'ISC']",
]

BAD = {
    "a macro in a macro": "dependencies.all(x, dependencies.all(y, x == y))",
    "over two lines": "dependencies\n.all (x, [1].map(y, y) == [1])",
    "a macro in a list in a macro": "dependencies.all(x, [1, [1].filter(y, true).size()] == [1, 1])",
    "hidden by a raw text": r"r'\' == name && dependencies.all(x, dependencies.all(y, 'a' == x))",
    "hidden by three quotes": "'''a''' == name",
    "a comment": "name == 'a' // '",
    "a number": "1",
    "an unknown name": "nosuch == 1",
    "no function of ours": "now() > 1",
    "brackets": "(" * 30 + "true" + ")" * 30,
    "signs": "!" * 60 + "true",
    "too long": "true || " * 200 + "true",
    "too many macros": " || ".join(["dependencies.exists(d, d == 'x')"] * 9),
    "an open text": "name == 'a",
    "nothing": "",
    "a division": "1 / size_bytes == 1",
}


@pytest.mark.parametrize("text", GOOD)
def test_check__condition__is_taken(text: str) -> None:
    check(text)


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_check__what_is_none_or_costs_too_much__refused(text: str) -> None:
    with pytest.raises(BadCondition):
        check(text)


def test_holds__by_the_facts() -> None:
    facts = {**FACTS, "dependencies": ["xor", "y"], "size_times": 11.0}
    assert holds("dependencies.exists(d, d == 'y') && size_times > 10.0", facts)
    assert not holds("dependencies.exists(d, d == 'z')", facts)
