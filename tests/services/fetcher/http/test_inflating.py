"""What is unpacked piece by piece is what is unpacked whole, and as bounded."""

from __future__ import annotations

import gzip
import zlib

import pytest

from services.fetcher.http.response import Inflating, decode_body
from shared.errors import TooLarge, UpstreamInvalid

TEXT = b"".join(b"line %d\n" % number for number in range(3000))
BODIES = {
    "one member": gzip.compress(TEXT),
    "three, one of them empty": gzip.compress(TEXT) + gzip.compress(b"") + gzip.compress(b"end"),
    "padded": gzip.compress(TEXT) + b"\0" * 100,
    "begun as if another followed": gzip.compress(TEXT) + b"\x1f",
}


def _unpacked(body: bytes, size: int, *, most: int = 1 << 20) -> bytes:
    inflating = Inflating(most)
    pieces = [inflating.feed(body[start : start + size]) for start in range(0, len(body), size)]
    return b"".join([*pieces, inflating.end()])


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_inflating__in_pieces__as_the_whole(body: bytes, size: int) -> None:
    assert _unpacked(body, size) == decode_body(body, "gzip", max_bytes=1 << 20)


@pytest.mark.parametrize("size", [1, 1 << 20])
def test_inflating__what_is_broken_cut_or_too_large__refused(size: int) -> None:
    whole = BODIES["one member"]
    for body in (whole[:-9], whole[:-1], whole + whole[:20], b"\x1f\x8b" + b"x" * 40):
        with pytest.raises(UpstreamInvalid):
            _unpacked(body, size)
    with pytest.raises(TooLarge):
        _unpacked(whole, size, most=len(TEXT) - 1)


def test_inflating__a_bomb__refused_long_before_it_is_whole() -> None:
    packed = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join([*(packed.compress(b"\0" * (1 << 20)) for _ in range(64)), packed.flush()])
    with pytest.raises(TooLarge):
        _unpacked(bomb, 1000, most=1 << 30)
