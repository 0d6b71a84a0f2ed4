"""Bodies with absolute URLs for base URLs without variants of their own: rendered once for a placeholder,
which is replaced in the response."""

from __future__ import annotations

from collections.abc import AsyncIterator

from services.gateway.serving.ports import Body, Reply
from shared.cache.keys import address_mark
from shared.http.conditions import Conditions

PLACEHOLDER = "http://orchard.invalid"
"""The public URL that such bodies are made for; no host can have this name (RFC 6761, 6.4)."""


def rebased_etag(etag: str, conditions: Conditions) -> str:
    """The entity tag of the body that goes out: another one for each address."""
    return f'{etag[:-1]}-{address_mark(conditions.shown_url)}"'


def rebased(reply: Reply, conditions: Conditions) -> Reply:
    """The reply with `conditions.shown_url` for `conditions.base_url` in its body."""
    old, new = conditions.base_url.encode(), conditions.shown_url.encode()
    if isinstance(reply.body, (bytes, memoryview)):
        reply.body = bytes(reply.body).replace(old, new)
        reply.headers.append((b"content-length", b"%d" % len(reply.body)))
    elif reply.body is not None:
        reply.body = _Rebased(reply.body, old, new)
    return reply


class _Rebased:
    """A body in pieces; what is replaced may lie across two of them."""

    path = ""

    def __init__(self, body: Body, old: bytes, new: bytes) -> None:
        self._body = body
        self._old = old
        self._new = new

    async def chunks(self) -> AsyncIterator[bytes]:
        held = b""
        async for chunk in self._body.chunks():
            data = held + chunk
            # All before the last `len(old) - 1` bytes is settled, but for a match that reaches into them.
            end = max(0, len(data) - len(self._old) + 1)
            last = data.rfind(self._old, 0, end + len(self._old) - 1)
            end = max(end, last + len(self._old)) if last >= 0 else end
            held = data[end:]
            if end:
                yield data[:end].replace(self._old, self._new)
        if held:
            yield held

    async def aclose(self) -> None:
        await self._body.aclose()
