"""Content-codings of upstream bodies, decoded within a bound: 1 MB of gzip can hold a gigabyte."""

from __future__ import annotations

import zlib

from shared.errors import TooLarge, UpstreamInvalid

MAX_CODINGS = 2

MOST_TIMES = 200
"""So many times its size a compressed body may unpack to, once it is past `FREE_BYTES`. Indexes, which repeat
themselves, reach 50; what is made to fill memory reaches 1,032 (RFC 1951)."""
FREE_BYTES = 8 * 1024 * 1024

_STEP = 1024 * 1024
_GZIP = frozenset({"gzip", "x-gzip"})
_DEFLATE = frozenset({"deflate"})
_HIDING = frozenset({"br", "zstd", "compress", "x-compress"})  # real codings, never asked for
_GZIP_MAGIC = b"\x1f\x8b"
_STARTS_OF_TEXT = (b"", b"<", b"{", b"[", b"\xef")  # what documents begin with (the last: a BOM)


def decode_body(body: bytes, coding: str, *, max_bytes: int) -> bytes:
    """The decoded body; `coding` is the Content-Encoding header, in whatever spelling servers send it.

    As HTTP clients do: codings that change nothing and unknown ones leave the body as it is (its reader
    tells whether it is what it should be), and so does one that was declared for plain bytes. Raises
    `TooLarge` past `max_bytes` at any step, and `UpstreamInvalid` for a broken or cut stream, for codings
    that hide the body and were not asked for, and for more than two.
    """
    codings = codings_of(coding)
    if len(codings) > MAX_CODINGS:
        raise UpstreamInvalid(f"the upstream coded the body more than {MAX_CODINGS} times")
    for name in reversed(codings):  # RFC 9110 §8.4: listed in the order in which they were applied
        if name in _HIDING and body.lstrip()[:1] not in _STARTS_OF_TEXT:
            raise UpstreamInvalid(f"the upstream used the content-coding {name!r}, which was not asked for")
        if name in _GZIP and body.startswith(_GZIP_MAGIC):
            body = _inflate(body, 31, max_bytes)
        elif name in _DEFLATE and body:
            body = _inflate(body, 15 if _has_zlib_head(body) else -15, max_bytes)
    if len(body) > max_bytes:
        raise TooLarge(f"the upstream sent more than {max_bytes} bytes")
    return body


def decoded_size(body: bytes, coding: str) -> int:
    """What a body says that it unpacks to (RFC 1952 §2.3.1, ISIZE), in bytes; it may lie."""
    if body.startswith(_GZIP_MAGIC) and not _GZIP.isdisjoint(codings_of(coding)):
        return max(len(body), int.from_bytes(body[-4:], "little"))
    return len(body)


def codings_of(header: str) -> list[str]:
    """The codings that a Content-Encoding header names and that change the body, in lower case."""
    names = (name.strip().strip('"').lower() for name in header.split(","))
    return [name for name in names if name in _GZIP or name in _DEFLATE or name in _HIDING]


def _has_zlib_head(body: bytes) -> bool:
    """Whether a "deflate" body is RFC 1950's, as it should be: many servers send the bare RFC 1951."""
    return body[0] & 0x0F == 8 and int.from_bytes(body[:2], "big") % 31 == 0


def _inflate(body: bytes, wbits: int, max_bytes: int) -> bytes:
    pieces: list[bytes] = []
    total = 0
    rest = body
    while rest:  # RFC 1952 §2.2: members may follow one another
        inflater = zlib.decompressobj(wbits=wbits)
        try:
            while rest and not inflater.eof:
                piece = inflater.decompress(rest, _STEP)
                rest = inflater.unconsumed_tail
                total += len(piece)
                if total > max_bytes:
                    raise TooLarge(f"the upstream's body unpacks to more than {max_bytes} bytes")
                if total > max(FREE_BYTES, MOST_TIMES * (len(body) - len(rest))):
                    raise TooLarge(f"the upstream's body unpacks to more than {MOST_TIMES} times its size")
                pieces.append(piece)
            if not inflater.eof:
                pieces.append(inflater.flush())
        except zlib.error:
            raise UpstreamInvalid("the upstream's compressed body is broken") from None
        if not inflater.eof:
            raise UpstreamInvalid("the upstream's compressed body is cut")
        rest = inflater.unused_data
        if wbits != 31 or not rest.startswith(_GZIP_MAGIC):
            break  # padding or rubbish after the last member: overlooked, as gzip(1) and browsers do
    return b"".join(pieces)
