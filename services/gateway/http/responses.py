"""From a `Reply` to ASGI messages: bodies from memory, by path, streamed; errors as problem documents.

How a transfer is broken off: granian ends a response whose application returns without the last
body message by closing the connection, without a final chunk and short of its Content-Length.
tests/services/gateway/misses/test_broken_transfers.py proves it on a raw socket.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, MutableMapping
from types import TracebackType
from typing import Any, Protocol

from services.gateway.http.sockets import Peer, is_open
from services.gateway.serving.ports import Body, CacheWord, Reply
from shared.access.tokens import BASIC
from shared.errors import MethodNotAllowed, OrchardError
from shared.errors.base import problem_body, problem_of
from shared.http.via import ERROR_HEADER
from shared.protocols.base import PackageProxyBase
from shared.telemetry import metrics

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
HeaderList = list[tuple[bytes, bytes]]

SECURITY_HEADERS: list[tuple[bytes, bytes]] = [
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; sandbox"),
]


class ClientGone(Exception):
    """The client closed the connection before its response was complete."""


class Passage(Protocol):
    """A context manager around the sending of a body, which may be stopped
    (`services/gateway/hits/gate.py`)."""

    @property
    def stopped(self) -> OrchardError | None:
        """Why it was stopped: the task that sends it is cancelled then."""
        ...

    def by_server(self, peer: Peer) -> None:
        """The server sends the body by itself, on the connection with `peer`."""
        ...

    def __enter__(self) -> object: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...


def finished(reply: Reply) -> HeaderList:
    """All headers of a reply but the request's own (X-Request-Id)."""
    return [*reply.headers, *SECURITY_HEADERS, (b"x-cache", reply.cache.encode())]


class Sent:
    """What has gone out, also of a reply that ends early, by raising: the head's status (0: none, so that
    another answer is still possible) and how many bytes of the body."""

    __slots__ = ("size", "status")

    def __init__(self) -> None:
        self.status = 0
        self.size = 0


UNREAD = frozenset({408, 413})
"""After these the rest of the request's body may still come: it must not be taken for the next request, and
nobody waits for it (RFC 9110, 15.5.9 and 15.5.14)."""


def error_headers(
    error: OrchardError, content_type: str, body: bytes, challenge: str = BASIC
) -> list[tuple[bytes, bytes]]:
    """Headers of an error: its code, Retry-After, and for 401 the challenge."""
    headers = [
        (b"content-type", content_type.encode("latin-1")),
        (b"content-length", b"%d" % len(body)),
        (ERROR_HEADER.encode(), error.code.encode()),
    ]
    if error.retry_after_seconds:
        headers.append((b"retry-after", b"%d" % error.retry_after_seconds))
    if isinstance(error, MethodNotAllowed):
        headers.append((b"allow", error.allow.encode("latin-1")))
    if error.status == 401:
        headers.append((b"www-authenticate", challenge.encode("latin-1")))
    if error.status in UNREAD:
        headers.append((b"connection", b"close"))
    return headers


LOOK_SECONDS = 1.0  # whether a client is there of whom the server said that it has gone

UNCACHED: CacheWord = "NONE"
"""X-Cache of answers that needed neither cache nor upstream: redirects, refused requests, what is blocked."""


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
    challenge: str = BASIC,
) -> int:
    """Send an error as its protocol's clients read it; the bytes of its body.

    `headers` come from the reply, if there was one; `status` is for one that depends on the kind of
    resource."""
    problem = problem_of(error, request_id, status=status)
    kind, body = protocol.grammar.error_body(problem) if protocol is not None else problem_body(problem)
    all_headers = [*error_headers(error, kind, body, challenge), *SECURITY_HEADERS]
    all_headers.append((b"x-request-id", request_id.encode()))
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
    headers = finished(reply)
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
    # granian's send does not report that the client has gone (it waits for it while it is slow), and
    # a silent upstream may give nothing to send for a long time.
    task = asyncio.current_task()
    assert task is not None
    gone = asyncio.ensure_future(until_disconnect(receive, peer))
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


async def until_disconnect(receive: Receive, peer: Peer | None) -> None:
    """Return when the client has closed the connection, which is with `peer`.

    The server says so of one that is there, too: seen with granian 2.8 on a busy machine, at the first
    question after a request. So the kernel is asked as well, and from then on alone.
    """
    while (await receive())["type"] != "http.disconnect":
        pass
    while peer is not None and is_open(peer):  # noqa: ASYNC110 - nobody else tells
        await asyncio.sleep(LOOK_SECONDS)


async def unless_gone(receive: Receive, peer: Peer | None, work: Awaitable[Any]) -> Any:
    """The result of `work`; cancels it and raises `ClientGone` when the client goes away first."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(until_disconnect(receive, peer))
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
