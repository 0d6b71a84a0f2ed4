"""From a `Reply` to ASGI messages: bodies from memory, by path, streamed; errors as problem documents.

How a transfer is broken off: granian ends a response whose application returns without the last
body message by closing the connection, without a final chunk and short of its Content-Length.
tests/services/gateway/test_broken_transfers.py proves it on a raw socket.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import msgspec

from services.gateway.gate import Passage
from services.gateway.sockets import Peer
from shared import metrics
from shared.errors import OrchardError
from shared.protocols.base import PackageProxyBase
from shared.protocols.ports import Body, CacheWord, Reply

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

SECURITY_HEADERS: list[tuple[bytes, bytes]] = [
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; sandbox"),
]
PROBLEM = b"application/problem+json"

_encode = msgspec.json.Encoder().encode


class ClientGone(Exception):
    """The client closed the connection before its response was complete."""


class Sent:
    """What has gone out, also of a reply that ends early, by raising: the head's status (0: none, so that
    another answer is still possible) and how many bytes of the body."""

    __slots__ = ("size", "status")

    def __init__(self) -> None:
        self.status = 0
        self.size = 0


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body of an error (RFC 9457), with a plain `reason` for clients that show only that."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    reason: str
    hint: str
    request_id: str


def problem(
    error: OrchardError, request_id: str, protocol: PackageProxyBase | None = None, *, status: int = 0
) -> bytes:
    """The problem document of an error, with what the protocol's own clients look for in it. `status`: if
    it is not the error's own."""
    title = error.code.replace("_", " ")
    document = Problem(
        type="about:blank",
        title=title[0].upper() + title[1:],
        status=status or error.status,
        detail=error.message,
        code=error.code,
        reason=f"{error.message}. {error.hint}",
        hint=error.hint,
        request_id=request_id,
    )
    own = protocol.error_fields(error) if protocol is not None else {}
    return _encode(msgspec.structs.asdict(document) | own) if own else _encode(document)


def error_headers(error: OrchardError, body: bytes) -> list[tuple[bytes, bytes]]:
    """Headers of an error: never kept by anyone unless said otherwise, and when to come back."""
    headers = [(b"content-type", PROBLEM), (b"content-length", b"%d" % len(body))]
    if error.retry_after_seconds:
        headers.append((b"retry-after", b"%d" % error.retry_after_seconds))
    if error.status == 405:
        headers.append((b"allow", b"GET, HEAD"))
    if error.status == 401:  # RFC 9110 §11.6.1; pip, uv, mvn and poetry send credentials only when asked
        headers.append((b"www-authenticate", b'Basic realm="Orchard", charset="UTF-8"'))
    return headers


UNCACHED: CacheWord = "NONE"
"""X-Cache of what neither the cache nor an upstream was asked for: redirects, and refusals at the door."""


async def send_error(
    send: Send,
    error: OrchardError,
    request_id: str,
    *,
    head: bool = False,
    cache: str = "",
    headers: list[tuple[bytes, bytes]] | None = None,
    protocol: PackageProxyBase | None = None,
    status: int = 0,
) -> int:
    """Send a problem document; the bytes of its body. `headers` come from the reply, if there was one;
    `status` is for one that depends on the kind of resource."""
    body = problem(error, request_id, protocol, status=status)
    all_headers = [*error_headers(error, body), *SECURITY_HEADERS, (b"x-request-id", request_id.encode())]
    all_headers += headers if headers is not None else [(b"cache-control", b"no-store")]
    if cache:
        all_headers.append((b"x-cache", cache.encode()))
    await send({"type": "http.response.start", "status": status or error.status, "headers": all_headers})
    await send({"type": "http.response.body", "body": b"" if head else body, "more_body": False})
    return 0 if head else len(body)


async def send_reply(
    send: Send,
    receive: Receive,
    reply: Reply,
    request_id: str,
    *,
    head: bool = False,
    protocol: PackageProxyBase | None = None,
    sent: Sent | None = None,
    passage: Passage | None = None,
    peer: Peer | None = None,
) -> int:
    """Send a reply; the bytes of body that went out, which `sent` counts meanwhile.

    The head of a body that is not in memory waits for its first bytes. Raises what the body raises,
    `ClientGone`, and `Blocked` when `passage` was stopped; once `sent.status` is set the caller then returns
    without another message.
    """
    sent = sent if sent is not None else Sent()
    if reply.error is not None:
        sent.status = reply.error.status
        return await send_error(
            send,
            reply.error,
            request_id,
            head=head,
            cache=reply.cache,
            headers=reply.headers,
            protocol=protocol,
        )
    headers = reply.headers
    headers += SECURITY_HEADERS
    headers.append((b"x-cache", reply.cache.encode()))
    headers.append((b"x-request-id", request_id.encode()))
    body = reply.body
    if body is None or isinstance(body, (bytes, memoryview)):
        sent.status = reply.status
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        data = b"" if body is None else bytes(body)  # granian is slow with a memoryview
        await send({"type": "http.response.body", "body": data, "more_body": False})
        size = len(data)
        if size:
            metrics.count_bytes_served(size, live=False)
        return size
    try:
        live = reply.cache == "LIVE"
        with passage if passage is not None else contextlib.nullcontext():
            return await _send_body(
                send, receive, reply.status, headers, body, sent, live=live, passage=passage, peer=peer
            )
    finally:
        await body.aclose()


async def _send_body(
    send: Send,
    receive: Receive,
    status: int,
    headers: list[tuple[bytes, bytes]],
    body: Body,
    sent: Sent,
    *,
    live: bool,
    passage: Passage | None,
    peer: Peer | None,
) -> int:
    start = {"type": "http.response.start", "status": status, "headers": headers}
    if body.path:
        sent.status = status
        if passage is not None and peer is not None:
            passage.by_server(peer)
        await send(start)
        await send({"type": "http.response.pathsend", "path": body.path})
        size = next((int(value) for name, value in headers if name == b"content-length"), 0)
        metrics.count_bytes_served(size, live=False)
        return size
    # granian's send does not tell that the client has gone (it waits for it while it is slow), and
    # a silent upstream may give nothing to send for a long time.
    task = asyncio.current_task()
    assert task is not None
    gone = asyncio.ensure_future(until_disconnect(receive))
    gone.add_done_callback(lambda ended: None if ended.cancelled() else task.cancel())
    chunks = body.chunks()
    try:
        async for chunk in chunks:
            if not sent.status:
                sent.status = status
                await send(start)
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
            sent.size += len(chunk)
    except asyncio.CancelledError:
        if gone.done() and not gone.cancelled() and task.uncancel() == 0:
            raise ClientGone from None
        if passage is not None and passage.stopped is not None and task.uncancel() == 0:
            raise passage.stopped from None
        raise
    finally:
        gone.cancel()
        closing = getattr(chunks, "aclose", None)
        if closing is not None:
            await closing()
        metrics.count_bytes_served(sent.size, live=live)
    if not sent.status:
        sent.status = status
        await send(start)
    await send({"type": "http.response.body", "body": b"", "more_body": False})
    return sent.size


async def until_disconnect(receive: Receive) -> None:
    """Return when the client has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def unless_gone(receive: Receive, work: Awaitable[Any]) -> Any:
    """The result of `work`; cancels it and raises `ClientGone` when the client goes away first."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(until_disconnect(receive))
    try:
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientGone
        return task.result()
    finally:
        gone.cancel()
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
