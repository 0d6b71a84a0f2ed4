"""The queues for people and autoscalers: figures, and a stream of them."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import msgspec
from litestar import Response, asgi, get
from litestar.handlers import ASGIRouteHandler
from litestar.types import Receive, Scope, Send

from services.gateway.api.parts import Opened
from services.gateway.api.queue_board import QueueBoard
from services.gateway.http.responses import ClientGone, send_error, until_disconnect
from shared.errors import MethodNotAllowed, OrchardError

_STREAM_HEADERS = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-accel-buffering", b"no"),  # nginx would hold the events back
]


@get("/api/v1/queues", summary="Depth, age, rates and times of every queue", tags=["queues"])
async def queues(board: QueueBoard) -> Response[bytes]:
    """At most a second old. Numbers at stable paths (`queues.index.ready`, `scaling.fetcher.ready`) for
    autoscalers. 503 while the queue Redis does not answer."""
    report = await board.read()
    return Response(
        msgspec.json.encode(report),
        media_type="application/json",
        headers={"cache-control": "no-store", "x-content-type-options": "nosniff"},
    )


def queue_events(opened: Opened) -> ASGIRouteHandler:
    """The same as server-sent events: `history`, then `figures` every two seconds; `unavailable` while the
    queue Redis does not answer; `draining` before this gateway stops."""

    @asgi(["/api/v1/queues/events", "/ui/queues/events"], copy_scope=True)
    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if scope.get("method") != "GET":
                raise MethodNotAllowed("this address does not answer that method")
            await _stream(opened().board, receive, scope["client"], send)
        except OrchardError as error:
            await send_error(send, error, "-")  # type: ignore[arg-type]
        except ClientGone:
            pass

    return answer


async def _stream(board: QueueBoard, receive: Receive, peer: Any, send: Send) -> None:
    events = board.events()
    task = asyncio.current_task()
    assert task is not None
    # granian's send does not report that the client has gone.
    gone = asyncio.ensure_future(until_disconnect(receive, peer))  # type: ignore[arg-type]
    gone.add_done_callback(lambda ended: None if ended.cancelled() else task.cancel())
    started = False
    try:
        async for message in events:
            if not started:
                started = True
                await send({"type": "http.response.start", "status": 200, "headers": _STREAM_HEADERS})
            await send({"type": "http.response.body", "body": message, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
    except asyncio.CancelledError:
        if gone.done() and not gone.cancelled() and task.uncancel() == 0:
            raise ClientGone from None
        raise
    finally:
        gone.cancel()
        with contextlib.suppress(Exception):
            await events.aclose()


HANDLERS = [queues]
