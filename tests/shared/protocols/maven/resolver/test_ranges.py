"""Version ranges as Maven's resolver reads them: against its own answers, and what is no range."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.protocols.maven.resolver.ranges import BadRange, compare, exact, fits, generic_key, is_range

GOLDEN = Path(__file__).parent.parent / "golden" / "generic_versions.tsv"


def test_golden__same_answers_as_mavens_resolver() -> None:
    wrong = []
    rows = [line.split("\t") for line in GOLDEN.read_text().splitlines() if not line.startswith("#")]
    for kind, left, right, expected in rows:
        try:
            found = compare(left, right) if kind == "C" else int(fits(left, right))
            answer = str((found > 0) - (found < 0))
        except BadRange:
            answer = "E"
        if answer != expected:
            wrong.append((kind, left, right, expected, answer))
    assert len(rows) == 600
    assert wrong == []


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("[1.0]", ["1.0", "1"], ["1.0.1", "0.9"]),
        ("[1,2)", ["1", "1.9", "2-alpha"], ["2", "0.9"]),
        ("(,1],[3,)", ["0", "1", "3", "99"], ["2", "1.1"]),
        ("(1,2]", ["1.0.1", "2"], ["1", "2.1"]),
        ("[1.2.*]", ["1.2", "1.2.9", "1.2-x"], ["1.3", "1.1"]),
    ],
)
def test_range__holds_what_lies_between_its_ends(text: str, inside: list[str], outside: list[str]) -> None:
    assert is_range(text)
    assert all(fits(text, version) for version in inside)
    assert not any(fits(text, version) for version in outside)


def test_exact__only_of_one_version() -> None:
    assert exact("[1.0]") == "1.0"
    assert exact("[1.0],[2.0]") == exact("[1,2]") == ""


@pytest.mark.parametrize("text", ["[1", "(1)", "[1,2,3]", "[2,1]", "[1,2)x", "", "1.0", "[]", "[1.0]," * 65])
def test_no_range__named(text: str) -> None:
    with pytest.raises(BadRange):
        exact(text)


def test_order__qualifiers_before_and_after_the_release() -> None:
    ascending = ["1-alpha", "1-beta2", "1-m3", "1-rc1", "1-SNAPSHOT", "1", "1-sp", "1-jre", "1.0.1", "2"]
    descending = ascending[::-1]
    assert sorted(descending, key=generic_key) == ascending
    assert compare("1", "1.0.0-ga") == compare("1-rc1", "1_cr_1") == 0
