"""Conditions in CEL: what holds, and what is refused before it costs anything."""

from __future__ import annotations

import contextlib

import pytest

from shared.policy.conditions import FACTS, BadCondition, check, check_together, holds

GOOD = [
    "name == 'left-pad'",
    "dependencies.exists(d, d.startsWith('x')) || new_maintainers.size() > 0",
    "size_bytes > 10 && !scripts && published < 3.0",
    "name.matches('^(a+)+$')",
    "'//' == name || \"it's\" == name",
    "licence in ['MIT', 'ISC']",
    "licence in(['MIT', 'ISC']) && size_bytes + 1 > 0",
    "new_dependencies.filter(d, d.startsWith('@')).filter (x, x != 'y').size() > 2",
    "name == 'matches(' || dependencies.all(d, !d.matches('^evil-[a-z]{1,8}$') && d in dependencies)",
    "(dependencies . exists(d, d in ['a', 'b']))",
    "string(size_bytes) == '0' && timestamp('2026-01-01T00:00:00Z') < timestamp('2027-01-01T00:00:00Z')",
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
    "lists that double": "dependencies.map(d, d + d).map(d, d + d).exists(d, size(d) < 0)",
    "map alone": "dependencies.map(d, d).size() > 0",
    "added up in a macro": "dependencies.exists(d, d + d == 'aa')",
    "added up in brackets in a macro": "dependencies.exists(d, size([(d + d)]) > 1)",
    "a macro of a sum": "(dependencies + dependencies).exists(d, d == 'a')",
    "a macro of a list": "[dependencies, dependencies].exists(d, d == dependencies)",
    "a macro of an entry": "[dependencies][0].exists(d, d == 'a')",
    "a macro of what another function gives": "string(dependencies).exists(d, d == 'a')",
    "a macro of no list": "name.exists(d, d == 'a')",
    "values in values": "optional.of('a').optMap(x, x + x).optMap(x, x + x).hasValue()",
    "a pattern out of the facts": "dependencies.exists(d, d.matches(name))",
    "a pattern put together": "name.matches('a' + '{9}')",
    "many patterns": " || ".join(["name.matches('[a-z0-9_.-]{0,9}x[a-z0-9_.-]*')"] * 11),
    "a division": "1 / size_bytes == 1",
}


@pytest.mark.parametrize("text", GOOD)
def test_check__condition__is_taken(text: str) -> None:
    check(text)


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_check__what_is_none_or_costs_too_much__refused(text: str) -> None:
    with pytest.raises(BadCondition):
        check(text)


WORST = [  # each at the bounds of what is taken, of the longest facts
    " || ".join(["dependencies.exists(d, d.matches('^(a+)+$') && name.matches('(x*)*y'))"] * 8),
    " && ".join(["dependencies.map(d, d + d + d + d).size() >= 0"] * 8),
    " + ".join(["name"] * 140) + " == name",
    "name.matches('" + "(a|a?)+" * 130 + "$')",
    "(" * 20 + "true" + ")" * 20,
]


@pytest.mark.parametrize("number", range(len(WORST)))
def test_worst_that_is_taken__comes_to_an_end(number: int) -> None:
    long = "a" * 1000
    facts = {**FACTS, "name": long, "dependencies": [long + str(each) for each in range(200)]}
    with contextlib.suppress(BadCondition):  # without an answer it is held
        assert holds(WORST[number], facts) in (True, False)


def test_holds__by_the_facts() -> None:
    facts = {**FACTS, "dependencies": ["xor", "y"], "size_times": 11.0}
    assert holds("dependencies.exists(d, d == 'y') && size_times > 10.0", facts)
    assert not holds("dependencies.exists(d, d == 'z')", facts)


SLOW = r"dependencies.exists(d, d.matches('\\w{60}'))"


@pytest.mark.parametrize("texts", [[SLOW], [GOOD[0] + " " * 900] * 12], ids=["patterns", "length"])
def test_check_together__costs_too_much__refused(texts: list[str]) -> None:
    for each in texts:
        check(each)
    with pytest.raises(BadCondition):
        check_together(texts)


def test_check_together__usual_ones__are_taken() -> None:
    check_together(GOOD)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("scripts && severity > 7.0", "'severity'"),
        ("severity > 7.0 && scripts", "'severity'"),
        ("scripts && size_byte > 10", "did you mean 'size_bytes'?"),
        ("published > now && scripts", "'now'"),
        ("!scripts || nmae == 'x'", "did you mean 'name'?"),
        ("scripts ? severity > 7.0 : false", "'severity'"),
        ("scripts && new_dependencies.exists(d, d == evil)", "'evil'"),
        ("scripts && name > 5", "of two kinds"),
        ("yanked && new_scripts && name > 5", "of two kinds"),
    ],
)
def test_check__what_no_evaluation_of_samples_need_come_to__is_looked_through_all_the_same(
    text: str, told: str
) -> None:
    with pytest.raises(BadCondition) as refused:
        check(text)
    assert told in str(refused.value)
