"""A response of an upstream: its head, and its body as it arrives or read whole."""

from __future__ import annotations

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


def whole_status(status: int) -> int:
    """200 for every success that comes with the whole body, such as a transforming proxy's 203
    (RFC 9110 §15.3.4) and ones yet unknown (§15); any other status as it is."""
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
        self.status = whole_status(response.status_code)
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
        window_end = time.monotonic() + RATE_WINDOW_SECONDS
        received = 0
        with as_orchard_errors(self._where):
            async for chunk in self._response.aiter_raw():
                received += len(chunk)
                self._count_bytes(len(chunk))
                yield chunk
                now = time.monotonic()
                if now >= window_end:
                    if received < self._min_rate_bytes * RATE_WINDOW_SECONDS:
                        raise UpstreamTimeout(f"{self._where} sends too slowly")
                    window_end, received = now + RATE_WINDOW_SECONDS, 0
