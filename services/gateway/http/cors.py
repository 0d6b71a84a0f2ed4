"""Public reads for pages of any origin (WHATWG Fetch, "CORS protocol"), as the Python index allows them:
notebooks that run in a browser install from it.

Only where everybody may read without a token, and without credentials: a page learns no more than anybody
who can reach this Orchard. The API and all that changes something send no CORS headers.
"""

from __future__ import annotations

from typing import Any

from services.gateway.http.responses import UNCACHED, Send

_ALLOWED = (b"access-control-allow-origin", b"*")
_PREFLIGHT = [
    _ALLOWED,
    (b"access-control-allow-methods", b"GET, HEAD"),
    (b"access-control-allow-headers", b"*"),
    (b"access-control-max-age", b"86400"),
    (b"vary", b"Origin"),
    (b"content-length", b"0"),
    (b"x-cache", UNCACHED.encode()),
]
_READ = [_ALLOWED, (b"access-control-expose-headers", b"*")]


def is_preflight(method: str, headers: dict[bytes, bytes]) -> bool:
    """Whether a browser asks if it may send a request that reads."""
    return method == "OPTIONS" and headers.get(b"access-control-request-method") in (b"GET", b"HEAD")


async def send_preflight(send: Send) -> None:
    """The answer to a preflight request."""
    await send({"type": "http.response.start", "status": 204, "headers": list(_PREFLIGHT)})
    await send({"type": "http.response.body", "body": b""})


def readable(send: Send) -> Send:
    """`send`, with each response readable by the page that asked for it, errors too."""

    async def send_readable(message: Any) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *_READ]
        await send(message)

    return send_readable
