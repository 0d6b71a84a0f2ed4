"""Digests as SRI text tells them: none is lost quietly, any of several will do."""

from __future__ import annotations

import base64
import hashlib

import pytest

from shared.protocols.npm.dist import all_published, digests_in, served_name, share
from shared.protocols.npm.names import version_told

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


@pytest.mark.parametrize(
    ("basename", "served"),
    [
        ("thing-2.0.0.tgz", "thing-2.0.0.tgz"),
        ("scope-thing-2.0.0.tgz", "scope-thing-2.0.0.tgz"),
        ("thing-v-2.0.0.tgz", "thing-v-2.0.0.tgz"),
        ("thing-1.2.3-2.0.0.tgz", "thing-2.0.0.tgz"),
        ("thing-1.2.3-beta-2.0.0.tgz", "thing-2.0.0.tgz"),
        ("other-9.9.9-2.0.0.tgz", "thing-2.0.0.tgz"),
        ("thing-1.0.0.tgz", "thing-2.0.0.tgz"),
        ("download", "thing-2.0.0.tgz"),
    ],
)
def test_served_name__upstreams_own_where_it_tells_the_version_and_no_other(
    basename: str, served: str
) -> None:
    assert served_name("@x/thing", "2.0.0", f"https://packages.example.com/x/{basename}") == served
    assert version_told("@x/thing", served) == "2.0.0"


def test_version_told__of_a_name_that_has_a_version_in_it__by_its_usual_form() -> None:
    assert version_told("thing-1.2.3", "thing-1.2.3-2.0.0.tgz") == "2.0.0"
    assert version_told("thing", "thing-1.2.3-2.0.0.tgz") == "1.2.3-2.0.0"
    assert version_told("thing", "download.tgz") == ""
