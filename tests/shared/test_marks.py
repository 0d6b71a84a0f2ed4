"""Documents told apart by a member: read whole up to a bound, and what cannot be read by its beginning."""

from __future__ import annotations

import json

import pytest

from shared.marks import MOST_BYTES, Mark, marked, members_of

MARKS = (("one", Mark("format", "One")), ("two", Mark("other", "Two-2")))


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (json.dumps({"x": "y" * 10_000, "format": "One"}), "one"),
        (json.dumps({"x": "y" * 10_000, "other": "Two-2.3"}), "two"),
        (json.dumps({"other": "Two-1"}), ""),
        (json.dumps({"x": {"format": "One"}}), ""),
        ('{"format" : "One", ', "one"),
        ("[" * 100_000, ""),
        ('{"a":' * 100_000, ""),
        ("", ""),
    ],
)
def test_marked__by_a_member_of_the_outermost_object(body: str, name: str) -> None:
    assert marked(body.encode(), MARKS) == name


def test_members__of_what_is_too_long__are_not_read() -> None:
    body = b'{"format": "One", "x": "' + b"y" * MOST_BYTES + b'"}'
    assert members_of(body) is None and marked(body, MARKS) == "one"
