"""What people are told of an npm version: texts in one line, and addresses of web pages alone."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shared.protocols.npm.about import about
from shared.protocols.npm.document import Notes, decode_document, encode_document
from shared.protocols.roles.documents import About

URL = "http://packages.example.com/x"


def told(**fields: Any) -> About:
    body = json.dumps({"name": "x", "versions": {"1.0.0": {"name": "x", "version": "1.0.0", **fields}}})
    document = decode_document(encode_document("packument/x", URL, Notes(), body.encode()))
    return about(document, "1.0.0")


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("https://x.example.com/a", "https://x.example.com/a"),
        ({"type": "git", "url": "git+https://x.example.com/a/b.git"}, "https://x.example.com/a/b"),
        ({"type": "git", "url": "http://x.example.com/a/b"}, "http://x.example.com/a/b"),
        ("javascript:alert(1)", ""),
        ("data:text/html,x", ""),
        ("git://x.example.com/a", ""),
        ("git+ssh://git@x.example.com/a.git", ""),
        ("https://user:secret@x.example.com/", ""),
        ("https:///nowhere", ""),
        ("https://[x/", ""),
        ("https://x.example.com/a b", ""),
        ("https://x.example.com/" + "a" * 600, ""),
        ("somebody/something", ""),
        (7, ""),
        (None, ""),
        ({}, ""),
    ],
)
def test_address__is_a_web_page_or_none(given: Any, address: str) -> None:
    assert (told(repository=given).repository, told(homepage=given).homepage) == (address, address)


def test_about__of_a_version__has_its_texts() -> None:
    found = told(description=" one\ntwo ", license="MIT", maintainers=[{"name": "a"}, {"name": "b"}, 7])
    assert found == About("one two", "MIT", maintainers=("a", "b"))


@pytest.mark.parametrize("odd", [7, [], {}, None])
def test_about__of_odd_fields__is_empty(odd: Any) -> None:
    assert told(description=odd, license=odd, maintainers=odd) == About()


def test_about__of_no_such_version__is_empty() -> None:
    body = b'{"name":"x","versions":{}}'
    assert about(decode_document(encode_document("packument/x", URL, Notes(), body)), "1.0.0") == About()
