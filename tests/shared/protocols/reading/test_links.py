"""What becomes of the links of an upstream's document."""

from __future__ import annotations

import pytest

from shared.protocols.reading.links import Links

HOST = "https://index.example.com"


@pytest.mark.parametrize(
    ("href", "url"),
    [
        (" f/a.whl", f"{HOST}/simple/demo/f/a.whl"),
        ("\n\t /f/a.whl \r\n", f"{HOST}/f/a.whl"),
        ("https://files.example.com/\n  a.whl", "https://files.example.com/%20%20a.whl"),
        ("ht\ntps://files.example.com/a.whl\t", "https://files.example.com/a.whl"),
        ("\x00\x1f/f/a.whl\x01", f"{HOST}/f/a.whl"),
        ("/f/a b.whl", f"{HOST}/f/a%20b.whl"),
        ("/f/a\x00b.whl", None),
        ("/f/a\x7fb.whl", None),
        ("/f\\a.whl", None),
        (" java\nscript:alert(1)", None),
        ("\nfile:///etc/passwd", None),
        ("https:\n///a.whl", None),
    ],
)
def test_absolute__blanks_in_a_link__as_browsers_and_installers_read_them(href: str, url: str | None) -> None:
    assert Links(f"{HOST}/simple/demo/").absolute(href) == url


@pytest.mark.parametrize(
    ("base", "href", "url"),
    [
        (f"{HOST}/simple/demo/", "javascript:alert(1)", None),
        (f"{HOST}/simple/demo/", "data:text/plain,x", None),
        (f"{HOST}/simple/demo/", "file:///etc/passwd", None),
        (f"{HOST}/simple/demo/", "ftp://files.example.com/a.whl", None),
        (f"{HOST}/simple/demo/", "//files.example.com/a.whl", "https://files.example.com/a.whl"),
        (f"{HOST}/simple/demo/", "https:a.whl", None),
        (f"{HOST}/simple/demo/", "https://files.example.com:port/a.whl", None),
        (
            f"{HOST}/simple/demo/",
            "https://user:secret@files.example.com/a.whl",
            "https://files.example.com/a.whl",
        ),
        ("ftp://index.example.com/simple/", "//files.example.com/a.whl", None),
        ("file:///simple/", "../a.whl?x", None),
    ],
)
def test_absolute__leads_to_http_or_https_or_nowhere(base: str, href: str, url: str | None) -> None:
    assert Links(base).absolute(href) == url
