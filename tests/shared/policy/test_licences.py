"""Licences by SPDX expressions."""

from __future__ import annotations

import pytest

from shared.policy.licences import Unreadable, allows, name_of

TABLE = [
    ("MIT", ["MIT"], [], True),
    ("mit", ["MIT"], [], True),
    ("MIT", [], ["MIT"], False),
    ("MIT OR AGPL-3.0-only", [], ["AGPL-3.0-only"], True),
    ("MIT AND AGPL-3.0-only", [], ["AGPL-3.0-only"], False),
    ("MIT AND ISC", ["MIT"], [], False),
    ("MIT AND ISC", ["MIT", "ISC"], [], True),
    ("(MIT OR Apache-2.0) AND BSD-3-Clause", ["MIT", "BSD-3-Clause"], [], True),
    ("GPL-3.0", [], ["GPL-3.0-only"], False),
    ("GPL-2.0-only WITH Classpath-exception-2.0", [], ["GPL-2.0-only"], False),
    ("GPL-2.0-only WITH Classpath-exception-2.0", ["GPL-2.0-only WITH Classpath-exception-2.0"], [], True),
    ("GPL-2.0-only", ["GPL-2.0-only WITH Classpath-exception-2.0"], [], False),
]


@pytest.mark.parametrize(("text", "allowed", "denied", "may"), TABLE)
def test_allows(text: str, allowed: list[str], denied: list[str], may: bool) -> None:
    assert allows(text, allowed, denied) is may


UNREADABLE = [
    "",
    "SEE LICENSE IN x",
    "UNLICENSED",
    "MIT/ISC",
    "MIT OR",
    "(" * 300,
    "MIT " * 200,
    "Beerware-9",
]
HOSTILE = ["()", "MIT AND ()", "( or MIT", "(()) OR MIT", "MIT WITH ()", "AND", "\0", ") MIT ("]


@pytest.mark.parametrize("text", UNREADABLE + HOSTILE)
def test_what_is_no_expression__is_unreadable(text: str) -> None:
    with pytest.raises(Unreadable):
        name_of(text)
