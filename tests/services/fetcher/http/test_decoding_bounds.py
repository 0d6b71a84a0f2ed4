"""A compressed body that is made to fill memory ends early; what is large and real does not."""

from __future__ import annotations

import gzip
import json

import pytest

from services.fetcher.http.response import FREE_BYTES, decode_body, decoded_size
from shared.errors import TooLarge

MOST = 200 << 20


def test_decode__unpacks_to_a_thousand_times_its_size__refused_long_before_the_bound() -> None:
    bomb = gzip.compress(b" " * (4 * FREE_BYTES))
    with pytest.raises(TooLarge, match="200 times"):
        decode_body(bomb, "gzip", max_bytes=MOST)


def test_decode__small_and_repetitive__taken() -> None:
    assert len(decode_body(gzip.compress(b" " * FREE_BYTES), "gzip", max_bytes=MOST)) == FREE_BYTES


def test_decode__a_large_index_that_repeats_itself__taken() -> None:
    body = json.dumps([{"name": f"package-{n}", "text": "as always " * 20} for n in range(60_000)]).encode()
    assert len(body) > FREE_BYTES
    assert decode_body(gzip.compress(body), "gzip", max_bytes=MOST) == body


def test_decoded_size__as_the_body_says() -> None:
    body = gzip.compress(b" " * 100_000)
    assert decoded_size(body, "gzip") == 100_000
    assert decoded_size(body, "") == len(body)
