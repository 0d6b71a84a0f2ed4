"""Handlers and the gateway whose parts they are given."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from services.gateway.app import Application
from shared.settings import load_settings


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the framework's, about its own future
@pytest.mark.parametrize(
    "path", ["/health", "/metrics", "/api/v1/packages/pypi", "/api/v1/queues/events", "/api/v1/admin/blocks"]
)
async def test_gateway_is_not_open__503_shutting_down(tmp_path: Path, path: str) -> None:
    application = Application(load_settings({"ORCHARD_DATA_DIR": str(tmp_path)}))
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
        "query_string": b"",
        "headers": [],
        "client": ("127.0.0.1", "1"),
        "scheme": "http",
        "http_version": "1.1",
    }
    await application.litestar(scope, receive, send)
    assert sent[0]["status"] == 503
    assert json.loads(sent[1]["body"])["code"] == "shutting_down"
