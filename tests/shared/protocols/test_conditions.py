"""Negotiation of the content-coding, and small header readings."""

from __future__ import annotations

import pytest

from shared.protocols.conditions import choose_coding, wants_revalidation


@pytest.mark.parametrize(
    ("header", "coding"),
    [
        (None, "identity"),
        (b"", "identity"),
        (b"gzip, deflate", "gzip"),
        (b"gzip, deflate, zstd", "gzip"),
        (b"identity", "identity"),
        (b"br;q=0,*;q=0", "identity"),
        (b"*", "gzip"),
        (b"gzip;q=0", "identity"),
        (b"gzip;q=0.1, identity;q=0.5", "identity"),
        (b"gzip;q=0.5, identity;q=0.5", "gzip"),
        (b"br", "identity"),
        (b"x-gzip", "gzip"),
        (b"GZIP ; Q=1", "gzip"),
        (b"gzip;q=banana", "identity"),
        (b"," * 5000, "identity"),
    ],
)
def test_choose_coding__follows_the_weights(header: bytes | None, coding: str) -> None:
    assert choose_coding(header) == coding


def test_choose_coding__only_identity_on_offer__is_identity() -> None:
    assert choose_coding(b"gzip", ("identity",)) == "identity"


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        (None, False),
        (b"max-age=0", False),
        (b"no-cache", True),
        (b"max-age=0, No-Cache", True),
        (b"no-cachet", False),
    ],
)
def test_wants_revalidation__only_for_no_cache(header: bytes | None, wanted: bool) -> None:
    assert wants_revalidation(header) is wanted
