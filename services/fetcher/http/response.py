"""A response of an upstream: its head, and its body as it arrives or read whole.

Content-codings are decoded within a bound: 1 MB of gzip can hold a gigabyte.
"""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextvars import ContextVar

import httpx
import msgspec
from isal import isal_zlib

from services.fetcher.http.errors import as_orchard_errors
from shared.errors import TooLarge, UpstreamInvalid
from shared.errors.passing import UpstreamTimeout
from shared.telemetry.metrics import UPSTREAM_BYTES

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
    checks it), and so does one that was declared for plain bytes. Raises
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
    """The unpacked size that a gzip body declares (RFC 1952 §2.3.1, ISIZE), in bytes; it may be wrong."""
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
    inflating = Inflating(max_bytes, wbits)
    return b"".join((inflating.feed(body), inflating.end()))


class Inflating:
    """A body that is unpacked piece by piece, within a bound. Both methods raise as `decode_body`."""

    def __init__(self, max_bytes: int, wbits: int = 31) -> None:
        """`wbits`: of which format (zlib's manual); gzip unless told."""
        self._max_bytes = max_bytes
        self._wbits = wbits
        self._inflater = isal_zlib.decompressobj(wbits=wbits)
        self._start = b""  # of what may be a further member
        self._over = False
        self._taken = self._given = 0

    def feed(self, data: bytes) -> bytes:
        """What comes of a piece."""
        self._taken += len(data)
        data, self._start = self._start + data, b""
        pieces: list[bytes] = []
        while data and not self._over:
            if self._inflater.eof:  # RFC 1952 §2.2: members may follow one another
                self._over = self._wbits != 31 or not data.startswith(_GZIP_MAGIC[: len(data)])
                if self._over or len(data) < len(_GZIP_MAGIC):  # padding or garbage: ignored, as by gzip(1)
                    self._start = data
                    break
                self._inflater = isal_zlib.decompressobj(wbits=self._wbits)
            try:
                piece = self._inflater.decompress(data, _STEP)
            except isal_zlib.error:  # type: ignore[misc]  # an exception, whatever its stub says
                raise UpstreamInvalid("the upstream's compressed body is broken") from None
            data = self._inflater.unused_data if self._inflater.eof else self._inflater.unconsumed_tail
            self._check(len(piece), self._taken - len(data))
            pieces.append(piece)
        return b"".join(pieces)

    def end(self) -> bytes:
        """The rest, once all was fed."""
        inflater = self._inflater
        try:
            rest = b"" if inflater.eof else inflater.flush()
        except isal_zlib.error:  # type: ignore[misc]
            raise UpstreamInvalid("the upstream's compressed body is broken") from None
        if not inflater.eof:
            raise UpstreamInvalid("the upstream's compressed body is cut")
        return rest

    def _check(self, given: int, taken: int) -> None:
        self._given += given
        if self._given > self._max_bytes:
            raise TooLarge(f"the upstream's body unpacks to more than {self._max_bytes} bytes")
        if self._given > max(FREE_BYTES, MOST_TIMES * taken):
            raise TooLarge(f"the upstream's body unpacks to more than {MOST_TIMES} times its size")


RATE_WINDOW_SECONDS = 30.0
# Successes that mean something else than "here it is": not done yet, nothing, and a part.
_OTHER_SUCCESSES = frozenset({202, 204, 205, 206})
_CONTENT_RANGE = re.compile(r"bytes 0-([0-9]{1,19})/([0-9]{1,19})", re.IGNORECASE)  # from the start on


def whole_status(status: int, content_range: str = "") -> int:
    """200 for every success that comes with the whole body: a transforming proxy's 203 (RFC 9110 §15.3.4),
    ones yet unknown (§15), and a part that is all there is; any other status as it is.

    `content_range`: the header, where nobody asked for a part.
    """
    if status == 206:
        found = _CONTENT_RANGE.fullmatch(content_range.strip())
        return 200 if found and int(found[1]) + 1 == int(found[2]) else status
    return 200 if 200 <= status < 300 and status not in _OTHER_SUCCESSES else status


class FetchedBody(msgspec.Struct):
    """A response read whole, its body still in the coding that `content_encoding` names."""

    status: int
    headers: Mapping[str, str]  # lower-case names
    url: str  # the final one, after redirects
    body: bytes

    def take_body(self) -> bytes:
        """The body, which is then forgotten here: one of 40 MB must not lie about while it is worked on."""
        body, self.body = self.body, b""
        return body

    @property
    def content_type(self) -> str:
        return self.headers.get("content-type", "")

    @property
    def content_encoding(self) -> str:
        return self.headers.get("content-encoding", "")


class Count:
    """Body bytes that were read from upstreams."""

    size = 0


counting: ContextVar[Count | None] = ContextVar("counting", default=None)
"""Where the bytes of a job are counted that has to tell them."""


def _counter(source: str) -> Callable[[int], None]:
    total, count = UPSTREAM_BYTES.labels(source).inc, counting.get()
    if count is None:
        return total

    def both(size: int) -> None:
        total(size)
        count.size += size

    return both


class UpstreamResponse:
    """The head of a response, and its body as it arrives (in the upstream's content-coding)."""

    def __init__(self, response: httpx.Response, url: str, *, min_rate_bytes: int, source: str) -> None:
        part = response.headers.get("content-range", "") if "range" not in response.request.headers else ""
        self.status = whole_status(response.status_code, part)
        self.headers: Mapping[str, str] = response.headers
        self.url = url
        self.also: Callable[[bytes], Awaitable[None]] | None = None  # gets each piece before its reader
        self._response = response
        self._min_rate_bytes = min_rate_bytes
        self._where = f"upstream {source}"
        self._count_bytes = _counter(source)

    @property
    def content_length(self) -> int | None:
        """Bytes that the upstream announced; None if it did not."""
        text = self.headers.get("content-length", "")
        return int(text) if text.isascii() and text.isdigit() else None

    @property
    def delimited(self) -> bool:
        """Whether the body's end is marked: without a length or chunks, HTTP/1.1 ends it as a cut would."""
        framed = self._response.http_version == "HTTP/2" or "transfer-encoding" in self.headers
        return framed or self.content_length is not None

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body, in pieces of at most 256 KiB.

        Raises `UpstreamUnavailable` when it is cut, `UpstreamTimeout` when it falls silent or is
        slower than the minimum rate over 30 s.
        """
        heard = time.monotonic()
        window_end = heard + RATE_WINDOW_SECONDS
        received = 0
        with as_orchard_errors(self._where, waited=lambda: time.monotonic() - heard):
            async for chunk in self._response.aiter_raw():
                received += len(chunk)
                self._count_bytes(len(chunk))
                if self.also is not None:
                    await self.also(chunk)
                yield chunk
                heard = now = time.monotonic()
                if now >= window_end:
                    if received < self._min_rate_bytes * RATE_WINDOW_SECONDS:
                        raise UpstreamTimeout(f"{self._where} sends too slowly")
                    window_end, received = now + RATE_WINDOW_SECONDS, 0
