"""Request bodies: read whole, in one place, before a handler sees the first byte.

Each has a size, a rate and a time that it may not pass; all of a client and all together have a share of
memory, and a number. What is refused is refused before it is read, and its connection ends.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator

from services.gateway.http.requests import Headers
from services.gateway.http.responses import ClientGone, Receive
from shared.errors import RequestTooLarge, RequestTooSlow
from shared.errors.passing import Overloaded
from shared.process.byte_budget import ByteBudget
from shared.protocols.reading.lock_text import MAX_BYTES as LOCK_BYTES
from shared.settings import Settings

SMALL_BYTES = 64 * 1024
"""What a route takes that asks for no more."""

MOST_BYTES = {
    b"/api/v1/bundles": 4 * 1024 * 1024,  # digests of all objects of another bundle
    b"/api/v1/ensure": LOCK_BYTES,
    b"/api/v1/log/admitted": LOCK_BYTES,
    b"/api/v1/resolve": 1024 * 1024,
}
"""Routes that ask for more."""

FORWARDED_BYTES = 8 * 1024 * 1024  # of a request that is passed on, such as an audit
SILENT_SECONDS = 10.0  # without a byte
UNFINISHED_AT_ONCE = 64  # bodies of one client that have not come whole


class Bodies:
    """Reads the bodies of one gateway, within its budget of memory."""

    def __init__(self, settings: Settings, *, silent_seconds: float = SILENT_SECONDS) -> None:
        total = settings.body_budget_bytes
        self._budget = ByteBudget(total, "request bodies", owner_bytes=max(FORWARDED_BYTES, total // 2))
        self._seconds = settings.body_timeout
        self._silent_seconds = min(silent_seconds, settings.body_timeout)
        self._unfinished: Counter[str] = Counter()

    @contextlib.asynccontextmanager
    async def read(
        self, receive: Receive, headers: Headers, client: str, max_bytes: int
    ) -> AsyncIterator[bytes]:
        """The body, whose memory is accounted for until the end of the block.

        Raises `RequestTooLarge` (before it is read, where it is announced), `RequestTooSlow`, `Overloaded`,
        and `ClientGone` if it never ends.
        """
        length = headers.get(b"content-length", b"")
        if length.isdigit() and int(length) > max_bytes:
            raise RequestTooLarge(f"the request has {int(length)} bytes, at most {max_bytes} are taken here")
        with self._budget.share(client) as share:
            if self._unfinished[client] >= UNFINISHED_AT_ONCE:
                raise Overloaded(f"{UNFINISHED_AT_ONCE} requests of this client have not come whole yet")
            self._unfinished[client] += 1
            body = bytearray()
            loop = asyncio.get_running_loop()
            end = loop.time() + self._seconds
            try:
                async with asyncio.timeout_at(end) as deadline:
                    while True:
                        deadline.reschedule(min(end, loop.time() + self._silent_seconds))
                        message = await receive()
                        if message["type"] == "http.disconnect":
                            raise ClientGone
                        piece = message.get("body", b"")
                        if len(body) + len(piece) > max_bytes:
                            raise RequestTooLarge(f"the request has more than {max_bytes} bytes")
                        if piece:
                            deadline.reschedule(None)
                            await share.reach(len(body) + len(piece))
                            body += piece
                        if not message.get("more_body", False):
                            break
            except TimeoutError:
                raise RequestTooSlow(f"after {len(body)} bytes the rest did not come in time") from None
            finally:
                self._unfinished[client] -= 1
                if not self._unfinished[client]:
                    del self._unfinished[client]
            whole = bytes(body)
            body.clear()
            yield whole


def has_body(headers: Headers) -> bool:
    """Whether a request says that a body follows (RFC 9112 §6)."""
    return headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers


def replayed(body: bytes, receive: Receive) -> Receive:
    """`receive` of a request whose body was read: once the body, then what comes."""
    given = False

    async def receive_again() -> dict[str, object]:
        nonlocal given
        if given:
            return dict(await receive())
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again
