"""Negotiation of the content-coding, and small header readings."""

from __future__ import annotations

import pytest

from shared.http.conditions import accepted_codings, is_not_modified, wants_revalidation


@pytest.mark.parametrize(
    ("header", "codings"),
    [
        (None, "identity"),
        (b"", "identity"),
        (b"gzip, deflate", "gzip"),
        (b"gzip, deflate, br, zstd", "zstd gzip"),
        (b"gzip, zstd;q=0.5", "gzip zstd"),
        (b"zstd;q=0, gzip", "gzip"),
        (b"zstd", "zstd"),
        (b"identity", "identity"),
        (b"br;q=0,*;q=0", "identity"),
        (b"*", "gzip identity"),
        (b"*;q=0.1, zstd", "zstd gzip identity"),
        (b"gzip;q=0", "identity"),
        (b"gzip;q=0.1, identity;q=0.5", "identity gzip"),
        (b"gzip;q=0.5, identity;q=0.5", "gzip identity"),
        (b"br", "identity"),
        (b"x-gzip", "gzip"),
        (b"GZIP ; Q=1", "gzip"),
        (b"gzip;q=banana", "identity"),
        (b"," * 5000, "identity"),
    ],
)
def test_accepted_codings__in_the_order_of_the_weights(header: bytes | None, codings: str) -> None:
    assert accepted_codings(header) == tuple(codings.split())


def test_accepted_codings__only_identity_on_offer__is_identity() -> None:
    assert accepted_codings(b"gzip", ("identity",)) == ("identity",)


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


@pytest.mark.parametrize(
    ("etag", "since", "same"),
    [
        (b"", b"", False),
        (b'"a"', b"", True),
        (b"", b"Wed, 01 May 2024 10:00:00 GMT", True),
        (b"", b" Wed, 01 May 2024 10:00:00 GMT ", True),
        (b"", b"Thu, 02 May 2024 10:00:00 GMT", False),  # a validator, no "not later than"
        (b'"b"', b"Wed, 01 May 2024 10:00:00 GMT", False),  # RFC 9110 §13.2.2
        (b'"a"', b"Tue, 30 Apr 2024 10:00:00 GMT", True),
    ],
)
def test_is_not_modified__if_none_match_alone_counts_where_it_is_given(
    etag: bytes, since: bytes, same: bool
) -> None:
    assert is_not_modified(etag, since, '"a"', b"Wed, 01 May 2024 10:00:00 GMT") is same
    assert is_not_modified(etag, since, '"a"', b"") is (etag == b'"a"')
