"""Which addresses can be asked for: the rule is what the client of HTTP takes."""

from __future__ import annotations

import httpx
import pytest

from shared.http.urls import MAX_CHARACTERS, why_unaskable

ASKABLE = [
    "http://example.com", "https://example.com:8443/a b?c#d", "http://a_b.example.com/", "http://h/",
    "http://münchen.example/x", "http://xn--mnchen-3ya.example/", "http://[::1]:80/", "http://127.0.0.1/ä",
    "http://example.com./",
]  # fmt: skip
NOT = [
    "http://h/crates\r\nX: y", "http://h/a\x01", "http://xn--/x", "http://☃.com/", "http://ä\0b/x",
    "http://h/" + "a" * MAX_CHARACTERS, "http://h:99999/", "http://h:0/", "http://h:x/", "ftp://h/", "http:///x",
    "//h/x", "/x", "", "http://a..b/", "http://[v1.x]/", "http://[::g]/", "http://[::1/", "http://h%41/",
    "http://h h/", "http://h<>/", f"http://{'a' * 64}.example/", "http://\ud800/", "http://h/\ud800",
    "http://xn--a.example/", "javascript:alert(1)",
]  # fmt: skip


@pytest.mark.parametrize("url", ASKABLE)
def test_askable__and_the_client_takes_it(url: str) -> None:
    assert why_unaskable(url) == ""
    assert httpx.Request("GET", url).url.host


@pytest.mark.parametrize("url", NOT, ids=ascii)
def test_not_askable__with_a_reason_that_repeats_nothing_of_it(url: str) -> None:
    why = why_unaskable(url)
    assert why and why.isprintable() and len(why) < 100
