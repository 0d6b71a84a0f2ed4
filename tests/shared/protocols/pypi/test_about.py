"""Who publishes a file, as its core metadata tells: fields alone, in one line, never the description."""

from __future__ import annotations

import pytest

from shared.protocols.pypi.about import about
from shared.protocols.roles.archive import About


@pytest.mark.parametrize(
    "fields, found",
    [
        ("License-Expression: MIT\nLicense: old\nAuthor: Ada", About("MIT", "Ada")),
        ("license: BSD\nMaintainer-email: Bob B <b@example.com>", About("BSD", "Bob B")),
        ('Author-email: "Doe, Jo" <j@example.com>', About("", "Doe, Jo")),
        ("Author-email: j@example.com", About("", "j@example.com")),
        ("License: a text\n        over lines\nAuthor: Ada", About("a text", "Ada")),
        ("Author: UNKNOWN\nLicense: UNKNOWN", About("", "")),
        ("License: " + "x" * 201, About("", "")),
        ("Name: demo\n\nLicense: of the description", About("", "")),
        ("License: a\x00b\nAuthor: a\x1bb", About("", "")),
        ("", About("", "")),
        ("no field at all", About("", "")),
    ],
)
def test_about(fields: str, found: About) -> None:
    assert about(fields.encode()) == found


def test_about__what_is_no_text_tells_nothing_or_is_replaced() -> None:
    assert about(b"\xff\xfe\x00") == About("", "")
    assert about(b"Author: \xff\n").supplier == "�"
