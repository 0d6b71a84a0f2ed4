"""Dates of strangers: seconds, or nothing."""

from __future__ import annotations

import pytest

from shared.http.headers import unix_seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Sun, 06 Nov 1994 08:49:37 GMT", 784111777),
        (" Sun, 06 Nov 1994 08:49:37 +0000 ", 784111777),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 784111777),
        ("Sun Nov  6 08:49:37 1994", 784111777),
        ("", 0), ("yesterday", 0), ("0", 0), ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Wed, 21 Oct 99999999999 07:28:00 GMT", 0), ("Wed, 32 Oct 2020 07:28:00 GMT", 0),
        ("Wed, 21 Oct 2199 07:28:00 GMT", 0), ("Wed, 21 Oct 2020 07:28:00 +9999", 0),
    ],
)  # fmt: skip
def test_unix_seconds__whatever_is_written(text: str, seconds: int) -> None:
    assert unix_seconds(text) == seconds
