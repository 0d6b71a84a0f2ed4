"""Cursors: what a list gave comes back as its key, anything else is refused by name."""

from __future__ import annotations

import base64

import pytest

from services.gateway.api.parameters import check_limit, page_of, read_cursor
from shared.errors import InvalidParameter


def test_cursor__given_by_a_page__is_the_key_of_its_last_item() -> None:
    page = page_of([("a", ["a", 1]), ("b", ["b", 2]), ("c", ["c", 3])], 2)
    assert page.items == ["a", "b"]
    assert read_cursor(page.next, str, int) == ["b", 2]
    assert page_of([("a", ["a", 1])], 2).next == ""
    assert read_cursor("") is None


@pytest.mark.parametrize(
    "text",
    ["!", "a", "W10", base64.b64encode(b'["a"]').decode(), base64.b64encode(b'[1,"a"]').decode(), "a" * 5000],
)
def test_cursor__anything_else__refused(text: str) -> None:
    with pytest.raises(InvalidParameter, match=r"^cursor: "):
        read_cursor(text, str, int)


@pytest.mark.parametrize("limit", [0, -1, 501])
def test_limit__out_of_bounds__refused(limit: int) -> None:
    with pytest.raises(InvalidParameter, match=r"^limit: "):
        check_limit(limit)
