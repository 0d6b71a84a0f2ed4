"""Tokens: their strength, and what of an Authorization header is taken for one."""

from __future__ import annotations

from base64 import b64encode

import pytest

from shared.access.tokens import digest_of, is_token_name, new_token, presented


def basic(pair: bytes) -> bytes:
    return b"Basic " + b64encode(pair)


def test_new_token__twice__differs_and_needs_no_quoting_anywhere() -> None:
    first, second = new_token(), new_token()
    assert first != second
    assert len(first) == len("orchard_") + 43  # 256 bits in base64
    assert first.replace("_", "").replace("-", "").isalnum()


@pytest.mark.parametrize(
    "header",
    [
        b"Bearer secret",
        b"bearer  secret ",
        b"BEARER secret",
        basic(b"anyone:secret"),
        basic(b":secret"),
        b"basic " + b64encode(b"__token__:secret"),
    ],
)
def test_presented__bearer_or_basic_under_any_user_name__is_the_token(header: bytes) -> None:
    assert presented(header) == b"secret"


def test_presented__password_with_colons_and_unicode__is_taken_whole() -> None:
    assert presented(basic("ü:a:b\N{SNOWMAN}".encode())) == "a:b\N{SNOWMAN}".encode()


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"Basic",
        b"Bearer",
        b"Bearer  ",
        b"secret",
        b"Digest secret",
        b"Basic !!!!",
        b"Basic c2VjcmV0",  # no colon
        basic(b"user:"),
        b"Basic " + b"A" * 5000,
        b"Bearer " + b"A" * 5000,
        b"Basic \x00\xff",
        "Basic ★".encode(),
    ],
)
def test_presented__anything_else__is_no_token(header: bytes) -> None:
    assert presented(header) is None


def test_digest_of__nul_and_bad_utf8__is_a_digest_like_any() -> None:
    assert len(digest_of(b"\x00\xff")) == 32
    assert digest_of(b"a") != digest_of(b"b")


@pytest.mark.parametrize("name", ["ci", "a.b_c@d+e-1", "x" * 64])
def test_is_token_name__plain_words__are(name: str) -> None:
    assert is_token_name(name)


@pytest.mark.parametrize("name", ["", "-a", "a b", "a\n", "a\x00", "x" * 65, "ü"])
def test_is_token_name__anything_else__is_not(name: str) -> None:
    assert not is_token_name(name)
