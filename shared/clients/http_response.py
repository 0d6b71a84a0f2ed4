"""A response of an upstream: its head, and its body as it arrives or read whole."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Mapping

import httpx
import msgspec

from shared.clients.http_errors import as_orchard_errors
from shared.errors import UpstreamTimeout
from shared.metrics import UPSTREAM_BYTES

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


class UpstreamResponse:
    """The head of a response, and its body as it arrives (in the upstream's content-coding)."""

    def __init__(self, response: httpx.Response, url: str, *, min_rate_bytes: int, source: str) -> None:
        part = response.headers.get("content-range", "") if "range" not in response.request.headers else ""
        self.status = whole_status(response.status_code, part)
        self.headers: Mapping[str, str] = response.headers
        self.url = url
        self._response = response
        self._min_rate_bytes = min_rate_bytes
        self._where = f"upstream {source}"
        self._count_bytes = UPSTREAM_BYTES.labels(source).inc

    @property
    def content_length(self) -> int | None:
        """Bytes that the upstream announced; None if it did not."""
        text = self.headers.get("content-length", "")
        return int(text) if text.isascii() and text.isdigit() else None

    @property
    def delimited(self) -> bool:
        """Whether the body's end is marked: without a length or chunks, a cut looks like an end."""
        return self.content_length is not None or "transfer-encoding" in self.headers

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
                yield chunk
                heard = now = time.monotonic()
                if now >= window_end:
                    if received < self._min_rate_bytes * RATE_WINDOW_SECONDS:
                        raise UpstreamTimeout(f"{self._where} sends too slowly")
                    window_end, received = now + RATE_WINDOW_SECONDS, 0
