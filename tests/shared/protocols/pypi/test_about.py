"""Who publishes a file, as its core metadata tells: fields alone, in one line, never the description."""

from __future__ import annotations

import pytest

from shared.protocols.pypi.about import publisher


@pytest.mark.parametrize(
    "fields, found",
    [
        ("Name: demo\nAuthor: Ada\nMaintainer: Bob", "Ada"),
        ("maintainer-EMAIL: Bob B <b@example.com>", "Bob B"),
        ('Author-email: "Doe, Jo" <j@example.com>', "Doe, Jo"),
        ("Author-email: j@example.com", "j@example.com"),
        ("Author-email: <j@example.com>", "j@example.com"),
        ("Summary: a text\n  Author: Eve\nAuthor: Ada", "Ada"),
        ("Author: UNKNOWN\nMaintainer: Bob", "Bob"),
        ("Author: " + "x" * 201, ""),
        ("Name: demo\n\nAuthor: of the description", ""),
        ("Author: a\x1bb", ""),
        ("", ""),
        ("no field at all", ""),
    ],
)
def test_publisher(fields: str, found: str) -> None:
    assert publisher(fields.encode()) == found


def test_publisher__what_is_no_text_tells_nothing_or_is_replaced() -> None:
    assert publisher(b"\xff\xfe\x00") == ""
    assert publisher(b"Author: \xff\n") == "�"
