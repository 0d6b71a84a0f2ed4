"""Segments of an undecoded path: what no name can hold is refused, however often it is encoded."""

from __future__ import annotations

import pytest

from shared.errors import MalformedRequest, MethodNotAllowed, UriTooLong
from shared.protocols.reading.raw_paths import MAX_PATH_BYTES, read_segments


@pytest.mark.parametrize(
    ("path", "segments"),
    [
        (b"/", [""]),
        (b"/simple/demo/", ["simple", "demo", ""]),
        (b"/%40scope/name", ["@scope", "name"]),
        (b"/a%2Bb/c~d", ["a+b", "c~d"]),
    ],
)
def test_path__is_decoded_once(path: bytes, segments: list[str]) -> None:
    assert read_segments("GET", path) == segments


@pytest.mark.parametrize(
    "path",
    [
        b"", b"simple", b"/..", b"/a/../b", b"/./a", b"/%2e%2e/a", b"/%2E/a", b"/.%2e/a",
        b"/a%2fb", b"/a%5cb", b"/a%252e%252e", b"/a%25", b"/%252f", b"/a%3bb", b"/a%00b", b"/a%0ab",
        b"/a%7fb", b"/a%20b", b"/a%c3%a9", b"/a%", b"/a%2", b"/a%zz", b"//a", b"/a//b", b"/a\\b", b"/a\x00b",
    ],
)  # fmt: skip
def test_path_that_no_name_has__is_refused(path: bytes) -> None:
    with pytest.raises(MalformedRequest):
        read_segments("GET", path)


def test_path_without_end__is_refused_before_it_is_read() -> None:
    assert read_segments("GET", b"/" + b"a" * (MAX_PATH_BYTES - 1))
    with pytest.raises(UriTooLong):
        read_segments("GET", b"/" + b"a" * MAX_PATH_BYTES)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "get"])
def test_method_that_does_more_than_read__is_refused(method: str) -> None:
    with pytest.raises(MethodNotAllowed):
        read_segments(method, b"/simple/")
