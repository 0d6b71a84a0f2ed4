"""Whatever raises before an answer has begun: the client gets a problem document of our own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from services.gateway.app import Application
from shared.settings import load_settings


async def nothing() -> dict[str, Any]:
    return {"type": "http.disconnect"}


async def answers(application: Application, path: str, method: str = "GET") -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [],
        "client": ("127.0.0.1", "1"),
        "scheme": "http",
        "http_version": "1.1",
    }
    await application(scope, nothing, send)
    return sent


class Broken:
    """A gateway of which everything fails."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(f"{name} is broken")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the framework's, about its own future
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("path", ["/pypi/simple/a/", "/health", "/ui/queues", "/api/v1/queues", "/nowhere"])
async def test_anything_raises__a_problem_document(tmp_path: Path, path: str, method: str) -> None:
    application = Application(load_settings({"ORCHARD_DATA_DIR": str(tmp_path)}))
    application.gateway = Broken()  # type: ignore[assignment]
    start, body = await answers(application, path, method)
    assert start["status"] == 500
    assert dict(start["headers"])[b"content-type"] == b"application/problem+json"
    assert body["body"] == b"" if method == "HEAD" else b'"internal_error"' in body["body"]
