"""Content-codings of upstream bodies, decoded within a bound: 1 MB of gzip can hold a gigabyte."""

from __future__ import annotations

import zlib

from shared.errors import TooLarge, UpstreamInvalid

_STEP = 1024 * 1024


def decode_body(body: bytes, coding: str, *, max_bytes: int) -> bytes:
    """The decoded body; `coding` is the Content-Encoding header ("" or "identity": as it is).

    Raises `TooLarge` past `max_bytes`, and `UpstreamInvalid` for a broken or cut stream, for a coding
    that was not asked for, and for more than one coding (a body gzipped twice is a bomb or a mistake).
    """
    name = coding.strip().lower()
    if name in ("", "identity"):
        if len(body) > max_bytes:
            raise TooLarge(f"the upstream sent more than {max_bytes} bytes")
        return body
    if name not in ("gzip", "x-gzip"):
        raise UpstreamInvalid(f"the upstream used the content-coding {name[:40]!r}, which was not asked for")
    return _gunzip(body, max_bytes)


def _gunzip(body: bytes, max_bytes: int) -> bytes:
    pieces: list[bytes] = []
    total = 0
    rest = body
    while rest:  # RFC 1952 §2.2: members may follow one another
        inflater = zlib.decompressobj(wbits=31)
        try:
            while rest and not inflater.eof:
                piece = inflater.decompress(rest, _STEP)
                rest = inflater.unconsumed_tail
                total += len(piece)
                if total > max_bytes:
                    raise TooLarge(f"the upstream's body unpacks to more than {max_bytes} bytes")
                pieces.append(piece)
            if not inflater.eof:
                pieces.append(inflater.flush())
        except zlib.error:
            raise UpstreamInvalid("the upstream's gzip body is broken") from None
        if not inflater.eof:
            raise UpstreamInvalid("the upstream's gzip body is cut")
        rest = inflater.unused_data
        if rest and not rest.strip(b"\0"):
            break  # zero padding after the last member, as gzip(1) accepts
    if not pieces:
        raise UpstreamInvalid("the upstream's gzip body is empty")
    return b"".join(pieces)
