"""Names of crates and where their index files lie."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest

from shared.protocols.cargo import names


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("a", "1/a"),
        ("ab", "2/ab"),
        ("abc", "3/a/abc"),
        ("abcd", "ab/cd/abcd"),
        ("Inflector", "in/fl/inflector"),
        ("A", "1/a"),
        ("serde_json", "se/rd/serde_json"),
        ("serde-json", "se/rd/serde-json"),
    ],
)
def test_index_file__lies_by_the_name_s_length_in_lower_case(name: str, path: str) -> None:
    assert names.index_path(name) == path


@pytest.mark.parametrize("name", ["a", "_x", "serde_json", "x-1", "A" * 64])
def test_crate__may_be_called_so(name: str) -> None:
    assert names.is_name(name)


@pytest.mark.parametrize("name", ["", "1a", "-a", "a b", "a/b", "..", "a.b", "é", "a" * 65, "a\n", "con%2f"])
def test_crate__may_not_be_called_so(name: str) -> None:
    assert not names.is_name(name)


def test_hyphen_and_underscore__are_two_files() -> None:
    assert names.canonical("Serde-JSON") == "serde-json" != names.canonical("serde_json")


def test_file__of_every_spelling_of_a_crate__is_one() -> None:
    assert names.filename("Inflector", "0.11.4-RC1+x") == "inflector-0.11.4-RC1+x.crate"
    assert names.filename("inflector", "0.11.4-RC1+x") == "inflector-0.11.4-RC1+x.crate"


@pytest.mark.parametrize(
    ("pattern", "meant", "others"),
    [
        ("Acme_*", ["acme-tool", "acme_tool", "acme-a_b"], ["acmetool", "acme"]),
        ("acme-core", ["acme-core", "acme_core"], ["acme-cor"]),
        ("acme[-_]x", ["acme-x", "acme_x"], ["acmex"]),
        ("*", ["a", "a-b"], []),
    ],
)
def test_pattern__means_both_signs_since_cargo_asks_for_both(
    pattern: str, meant: list[str], others: list[str]
) -> None:
    (glob,) = names.meant_patterns(pattern)
    assert [each for each in (*meant, *others) if fnmatchcase(each, glob)] == meant


def test_identity__of_a_crate_and_of_the_index_itself() -> None:
    assert names.project_of(names.index_identity("serde-json")) == "serde-json"
    assert names.project_of(names.CONFIG) == ""


def test_spellings__of_all_that_cargo_takes_for_the_same() -> None:
    named = names.CargoNames()
    assert set(named.spellings("a-b_c")) == {"a-b-c", "a-b_c", "a_b-c", "a_b_c"}
    assert named.spellings("serde") == ("serde",)
    assert len(named.spellings("-".join("abcdef"))) == 2**names.MOST_SIGNS
    assert named.spellings("-".join("abcdefg")) == ()
