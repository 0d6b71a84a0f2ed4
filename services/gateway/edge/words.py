"""What caches in front of Orchard are told in Cache-Control (RFC 9111, RFC 5861), where ORCHARD_EDGE is on.

Only what carries a `Surrogate-Key` may stay in a shared cache: those answers Orchard can call back, or has
them asked for again after a second. Where reading needs a token everything is `private`, whoever asked.
"""

from __future__ import annotations

import re
from typing import Any

from services.gateway.http.responses import Send
from services.gateway.serving.surrogate_keys import HEADER

LONGEST_SECONDS = 300
"""Where Orchard purges: how long an answer outlives a purge that never arrives."""
UNPURGED_SECONDS = 1
WHILE_REVALIDATE_SECONDS = 10
IF_ERROR_SECONDS = 86_400

_MAX_AGE = re.compile(rb"\bmax-age=(\d{1,10})")


class EdgeWords:
    """Puts the words into answers. `private`: reading needs a token. `purged`: the caches in front are
    purged; where they are not they keep nothing longer than a second, and nothing stale at all: a cache that
    may answer stale while it asks again goes on with what was blocked for as long as somebody asks."""

    def __init__(self, *, private: bool, purged: bool) -> None:
        self._private = private
        self._purged = purged

    def put_into(self, send: Send) -> Send:
        """`send`, with the words in each answer."""

        async def send_worded(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = self.worded(message["headers"])
            await send(message)

        return send_worded

    def worded(self, headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """A response's headers with the words."""
        if self._private:
            return [(name, _private(name, value)) for name, value in headers if name != HEADER]
        if not any(name == HEADER for name, _ in headers):
            return headers
        return [(name, self._shared(value) if name == b"cache-control" else value) for name, value in headers]

    def _shared(self, value: bytes) -> bytes:
        found = _MAX_AGE.search(value)
        if found is None or b"no-store" in value:
            return value
        life = int(found[1])
        if not self._purged:
            return b"%b, s-maxage=%d" % (value, min(life, UNPURGED_SECONDS))
        return b"%b, s-maxage=%d, stale-while-revalidate=%d, stale-if-error=%d" % (
            value,
            min(life, LONGEST_SECONDS),
            WHILE_REVALIDATE_SECONDS,
            IF_ERROR_SECONDS,
        )


def _private(name: bytes, value: bytes) -> bytes:
    if name != b"cache-control" or b"no-store" in value or b"private" in value:
        return value
    return b"private, " + value.replace(b"public, ", b"")
