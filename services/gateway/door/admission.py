"""Admission: requests refused before anything is looked up, and log lines for those that are no package
requests."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from services.gateway.door.access import PROBED_PATHS, client_of
from services.gateway.door.budgets import asking
from services.gateway.http.addresses import address_of
from services.gateway.http.bodies import MOST_BYTES, SMALL_BYTES, has_body, replayed
from services.gateway.http.requests import Headers, read_headers
from services.gateway.http.responses import UNCACHED, ClientGone, Receive, Send, send_error
from shared.access.tokens import BASIC
from shared.errors import InternalError, OrchardError
from shared.telemetry.logs import get_logger

if TYPE_CHECKING:
    from services.gateway.compose import Gateway

log = get_logger()

STREAMS = frozenset({b"/api/v1/queues/events", b"/ui/queues/events"})
PROBES = PROBED_PATHS | STREAMS
"""Asked every few seconds by machines: neither logged nor counted, or nothing else would be seen. Nor is a
stream of events, which lasts for as long as somebody looks: no latency of ours."""


async def refused(
    gateway: Gateway,
    scope: Any,
    raw_path: bytes,
    headers: Headers,
    send: Send,
    way_in: bytes | None = None,
    *,
    one_package: bool = False,
) -> bool:
    """Whether the request was answered with 401 (or 503), since reading needs a token and it has none, or
    with 403 for a token that is not for this. `way_in`: where a person is sent instead of the 401.
    `one_package`: as `Access.check_read` takes it.

    Ask only where `Access.anonymous` is false.
    """
    authorization, client = headers.get(b"authorization"), address_of(scope)
    check = partial(gateway.access.check_read, authorization, client, one_package=one_package)
    return await turned_away(gateway, scope, raw_path, headers, send, check, way_in)


async def turned_away(
    gateway: Gateway,
    scope: Any,
    raw_path: bytes,
    headers: Headers,
    send: Send,
    check: Callable[[], None],
    way_in: bytes | None = None,
) -> bool:
    """Whether `check` raised an `OrchardError`, and the request was answered with it, or sent to `way_in`."""
    started = time.perf_counter()
    try:
        check()
    except OrchardError as error:
        protocol = gateway.reader.protocol_at(raw_path)
        request_id = gateway.request_ids.of(headers.get(b"x-request-id"))
        head = scope["method"] == "HEAD"
        cache = UNCACHED if gateway.reader.is_protocol_path(raw_path) else ""
        if way_in is not None and error.status == 401:
            await send_elsewhere(send, way_in, request_id)
            gateway.record.answered(scope, raw_path, request_id, started, "other", "", 303, 0, error.code)
            return True
        challenge = BASIC
        if protocol is not None and error.status == 401:
            challenge = protocol.grammar.challenge(
                gateway.reader.mount_url(protocol, headers, scope["scheme"])
            )
        size = await send_error(
            send, error, request_id, head=head, protocol=protocol, cache=cache, challenge=challenge
        )
        name = protocol.name if protocol is not None else "other"
        gateway.record.answered(
            scope, raw_path, request_id, started, name, cache, error.status, size, error.code
        )
        return True
    return False


async def send_elsewhere(send: Send, location: bytes, request_id: str) -> None:
    """303, to be kept by nobody."""
    headers = [(b"location", location), (b"cache-control", b"no-store"), (b"content-length", b"0")]
    headers.append((b"x-request-id", request_id.encode()))
    await send({"type": "http.response.start", "status": 303, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


async def answer_other(
    gateway: Gateway, answer: Any, scope: Any, raw_path: bytes, receive: Receive, send: Send
) -> None:
    """Pass a request that is no package request to the ASGI application `answer`; logged and counted like
    others.

    Handlers find the request's id in its header, made here where the client sent none that is sane: error,
    audit, log line and answer name the same.
    """
    if scope["method"] == "HEAD" and raw_path not in STREAMS:
        scope, send = {**scope, "method": "GET"}, without_body(send)
    if raw_path in PROBES:
        await _answered(answer, scope, receive, send, "-")
        return
    started = time.perf_counter()
    headers = read_headers(scope)
    request_id = gateway.request_ids.of(headers.get(b"x-request-id"))
    id_header = (b"x-request-id", request_id.encode())
    others = [each for each in scope["headers"] if each[0] != b"x-request-id"]
    scope = {**scope, "headers": [*others, id_header]}
    status, size = 499, 0  # until its head goes out

    async def observed(message: dict[str, Any]) -> None:
        nonlocal status, size
        if message["type"] == "http.response.start":
            status = message["status"]
            message = {**message, "headers": [*message.get("headers", ()), id_header]}
        elif message["type"] == "http.response.body":
            size += len(message.get("body", b""))
        await send(message)

    code = ""
    gateway.slow_clients.busy.add(scope["client"])
    asking.set((scope, headers))
    try:
        if scope["method"] in ("GET", "HEAD") or not has_body(headers):
            await _answered(answer, scope, receive, observed, request_id)
            return
        client = client_of(gateway.access, scope, headers)
        most = MOST_BYTES.get(raw_path, SMALL_BYTES)
        async with gateway.bodies.read(receive, headers, client, most) as body:
            await _answered(answer, scope, replayed(body, receive), observed, request_id)
    except ClientGone:
        code = "client_gone"
    except OrchardError as error:
        code = error.code
        await send_error(observed, error, request_id)
    finally:
        gateway.slow_clients.answered(scope["client"], status)
        gateway.record.answered(scope, raw_path, request_id, started, "api", "", status, size, code)


def without_body(send: Send) -> Send:
    """The answer to a GET as that to a HEAD: the same head, and nothing after it (RFC 9110, 9.3.2)."""

    async def head(message: dict[str, Any]) -> None:
        await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

    return head


async def _answered(answer: Any, scope: Any, receive: Receive, send: Send, request_id: str) -> None:
    """Whatever `answer` raises before its head goes out is an error of our own, not the server's."""
    begun = False

    async def watched(message: dict[str, Any]) -> None:
        nonlocal begun
        begun = True
        await send(message)

    try:
        await answer(scope, receive, watched)
    except Exception:
        log.exception("request_failed", request_id=request_id)
        if not begun:
            error = InternalError("an internal error")
            await send_error(send, error, request_id, head=scope["method"] == "HEAD")
