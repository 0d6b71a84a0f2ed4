"""What of an upstream's headers is kept with a file."""

from __future__ import annotations

import pytest

from services.fetcher.files.download import MOST_HEADER_CHARACTERS, source_headers_of
from shared.models import SourceHeaders


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("red", "red"),
        (" red ", "red"),
        ("", ""),
        ("r\r\nset-cookie: a", ""),
        ("r\x00", ""),
        ("rouge é", ""),
        ("x" * MOST_HEADER_CHARACTERS, "x" * MOST_HEADER_CHARACTERS),
        ("x" * (MOST_HEADER_CHARACTERS + 1), ""),
    ],
)
def test_source_headers_of__plain_and_short_headers_that_the_protocol_names_alone(
    text: str, kept: str
) -> None:
    found = source_headers_of({"x-colour": text, "set-cookie": "a=b"}, ("x-colour", "x-missing"))
    assert found == SourceHeaders(0.0, {"x-colour": kept} if kept else {})


def test_source_headers_of__date__in_unix_seconds() -> None:
    assert source_headers_of({"last-modified": "Wed, 01 May 2024 10:00:00 GMT"}, ()) == SourceHeaders(
        1_714_557_600.0
    )
    assert source_headers_of({"last-modified": "yesterday"}, ()) == SourceHeaders()
