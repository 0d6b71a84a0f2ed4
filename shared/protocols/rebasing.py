"""Bodies that hold absolute URLs, for addresses that have none of their own: made once for a placeholder,
with the address of the request put in on the way out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from hashlib import sha256

import msgspec

from shared.models import VariantInfo
from shared.protocols.conditions import Conditions
from shared.protocols.ports import Body, Reply

PLACEHOLDER = "http://orchard.invalid"
"""The public URL that such bodies are made for; no host can have this name (RFC 6761, 6.4)."""


def rebased_info(info: VariantInfo, conditions: Conditions) -> VariantInfo:
    """What is told of the body that goes out: another entity tag for each address."""
    mark = sha256(conditions.shown_url.encode()).hexdigest()[:16]
    return msgspec.structs.replace(info, etag=f'{info.etag[:-1]}-{mark}"')


def rebased(reply: Reply, conditions: Conditions) -> Reply:
    """The reply with `conditions.shown_url` for `conditions.base_url` in its body."""
    old, new = conditions.base_url.encode(), conditions.shown_url.encode()
    reply.headers = [header for header in reply.headers if header[0] != b"content-length"]
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
