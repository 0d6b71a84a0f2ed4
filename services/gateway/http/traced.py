"""An ASGI application whose requests are traces. Without a collector nothing is wrapped."""

from __future__ import annotations

from typing import Any

from services.gateway.http.responses import Receive, Send
from shared.settings import Settings
from shared.telemetry.tracing import (
    SERVER,
    accepted,
    begin,
    configure_tracing,
    end,
    inside,
    is_on,
    shown_path,
)

_TOLD = {
    b"x-cache": "orchard__cache",
    b"x-request-id": "orchard__request_id",
    b"x-orchard-error": "error__type",
}


def traced(application: Any, settings: Settings) -> Any:
    """The application itself where no collector is named."""
    configure_tracing("gateway", settings)
    return Traced(application) if is_on() else application


class Traced:
    """In front of `application`."""

    def __init__(self, application: Any) -> None:
        self._application = application

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        parent = None
        if scope["type"] == "http":
            given = dict(scope["headers"]).get(b"traceparent", b"")
            parent = accepted(given.decode("latin-1"))
        if parent is None:
            await self._application(scope, receive, send)
            return
        path = shown_path(scope["path"])
        span = begin(f"{scope['method']} /{path.lstrip('/').partition('/')[0]}", SERVER, parent)
        found: dict[str, Any] = {}

        async def noted(message: Any) -> None:
            if message["type"] == "http.response.start":
                found["http__response__status_code"] = message["status"]
                for name, value in message["headers"]:
                    if (told := _TOLD.get(bytes(name).lower())) is not None:
                        found[told] = bytes(value).decode("latin-1")
            await send(message)

        try:
            with inside(span):
                await self._application(scope, receive, noted)
        finally:
            status = found.get("http__response__status_code", 0)
            failed = "" if 0 < status < 500 else str(found.get("error__type", "no answer"))
            end(span, error=failed, http__request__method=scope["method"], url__path=path, **found)
