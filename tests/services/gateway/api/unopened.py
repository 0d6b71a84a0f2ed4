"""A gateway's router without its gateway: what reaches a handler is answered 503."""

from __future__ import annotations

import json
from typing import Any

from services.gateway.app import Application


async def ask(application: Application, path: str, query: bytes = b"") -> tuple[int, dict[str, Any]]:
    """Status and problem of a GET."""
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query,
        "headers": [],
        "client": ("127.0.0.1", "1"),
        "scheme": "http",
        "http_version": "1.1",
    }
    await application.litestar(scope, receive, send)
    return sent[0]["status"], json.loads(sent[1]["body"])
