"""Digests as SRI text tells them: none is lost quietly, any of several will do."""

from __future__ import annotations

import base64
import hashlib

import pytest

from shared.protocols.npm.dist import all_published, digests_in, share

A, B = (hashlib.sha512(text).hexdigest() for text in (b"a", b"b"))


def _ssri(hexdigest: str, algorithm: str = "sha512") -> str:
    return f"{algorithm}-{base64.b64encode(bytes.fromhex(hexdigest)).decode()}"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (_ssri(A), {"sha512": A}),
        (f"{_ssri(A)} {_ssri(B)}", {"sha512": f"{A} {B}"}),
        (f"{_ssri(A)} {_ssri(A)}", {"sha512": A}),
        (f"sha512-broken {_ssri(A)}", {"sha512": A}),
        (f"sha512-=== sha999-x {_ssri(A)}?opt", {"sha512": A}),
        (_ssri(A).rstrip("="), {"sha512": A}),
        (_ssri(A) + "==", {"sha512": A}),
        ("sha512-AAAA", {}),
        ("", {}),
        (None, {}),
        (["sha512-x"], {}),
    ],
)
def test_digests_in__text_of_any_shape__all_that_can_be_read(text: object, found: dict[str, str]) -> None:
    assert digests_in(text) == found


def test_all_published__several_digests__one_in_common_is_the_same_bytes() -> None:
    assert share(A, f"{B} {A}")
    assert not share(A, B)
    assert all_published({"sha512": A}, {"sha512": f"{B} {A}", "sha1": "x"})
    assert not all_published({"sha512": A, "sha1": "x"}, {"sha512": A})
    assert not all_published({"sha512": A}, {})
