"""Versions and requirements beside answers recorded from the `semver` crate, which cargo itself uses."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from shared.protocols.cargo.requirements import parse_requirement
from shared.protocols.cargo.semver import parse_version

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parent / "golden" / "requirements.json").read_bytes())


def matches(requirement: str, version: str) -> bool:
    wanted, given = parse_requirement(requirement), parse_version(version)
    assert wanted is not None
    assert given is not None
    return wanted.matches(given)


@pytest.mark.parametrize("requirement", GOLDEN["requirements"])
def test_requirement__matches_what_the_crate_says(requirement: str) -> None:
    told = GOLDEN["requirements"][requirement]
    read = parse_requirement(requirement)
    assert read is not None
    assert read.text == told["spelled"]
    assert [each for each in GOLDEN["versions"] if matches(requirement, each)] == told["matches"]


@pytest.mark.parametrize(("text", "spelled"), GOLDEN["read"].items())
def test_requirement__has_one_spelling(text: str, spelled: str) -> None:
    read = parse_requirement(text)
    assert read is not None
    assert read.text == spelled
    assert parse_requirement(spelled) is not None


@pytest.mark.parametrize("text", GOLDEN["refused"])
def test_requirement__refused_by_the_crate_is_none(text: str) -> None:
    assert parse_requirement(text) is None


def test_rows_made_at_random__are_answered_as_by_the_crate() -> None:
    for requirement, version, told in GOLDEN["rows"]:
        wanted, given = parse_requirement(requirement), parse_version(version)
        if wanted is None or given is None:
            assert told == ("bad-req" if wanted is None else "bad-version"), (requirement, version)
        else:
            assert told == str(wanted.matches(given)).lower(), (requirement, version)


def test_versions__in_the_crate_s_order_with_build_metadata_last() -> None:
    read = [parse_version(text) for text in GOLDEN["ascending"]]
    assert all(one is not None and two is not None and one.key < two.key for one, two in pairwise(read))


def test_build_metadata__is_ordered_part_by_part_numbers_before_words() -> None:
    texts = ["1.0.0", "1.0.0+2", "1.0.0+10", "1.0.0+010", "1.0.0+aa", "1.0.0+aa.1", "1.0.0+b"]
    read = [parse_version(text) for text in texts]
    assert all(one is not None and two is not None and one.key < two.key for one, two in pairwise(read))


@pytest.mark.parametrize("requirement", ["<1.2, >=1.2.0-a", "<1, >=1.0.0-a", ">1.2, >=1.2.0-a"])
def test_prerelease__is_neither_below_nor_above_a_version_of_which_it_names_no_part(requirement: str) -> None:
    """`<1.2` is `<1.2.0-0`, and `>1.2` is `>=1.3.0` (the `semver` crate, "Op")."""
    assert not matches(requirement, "1.2.0-b" if "1.2" in requirement else "1.0.0-b")


def test_build_metadata__has_no_say_in_precedence() -> None:
    plain, built = parse_version("1.0.0"), parse_version("1.0.0+7")
    assert plain is not None
    assert built is not None
    assert plain.precedence == built.precedence
    assert plain.key < built.key
    assert matches("=1.0.0", "1.0.0+7")


@pytest.mark.parametrize("text", GOLDEN["no_versions"])
def test_version__refused_by_the_crate_is_none(text: str) -> None:
    assert parse_version(text) is None


@pytest.mark.parametrize(
    ("text", "compatible"),
    [("1.2.3", (1,)), ("0.2.3", (0, 2)), ("0.0.3", (0, 0, 3)), ("0.0.0", (0, 0, 0)), ("2.0.0-a", (2,))],
)
def test_compatible_range__ends_at_the_leftmost_number_that_is_not_zero(
    text: str, compatible: tuple[int, ...]
) -> None:
    version = parse_version(text)
    assert version is not None
    assert version.compatibility == compatible


@pytest.mark.parametrize("text", ["1" * 300, "1.0.0-" + "a" * 3000, ",".join(["1"] * 2000)])
def test_texts_without_end__are_refused_not_read(text: str) -> None:
    assert parse_version(text) is None
    assert parse_requirement(text) is None
