"""Handlers and the gateway whose parts they are given."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.gateway.app import Application
from shared.settings import load_settings
from tests.services.gateway.api.unopened import ask


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the framework's, about its own future
@pytest.mark.parametrize(
    "path", ["/health", "/metrics", "/api/v1/packages/pypi", "/api/v1/queues/events", "/api/v1/admin/blocks"]
)
async def test_gateway_is_not_open__503_shutting_down(tmp_path: Path, path: str) -> None:
    application = Application(load_settings({"ORCHARD_DATA_DIR": str(tmp_path)}))
    status, told = await ask(application, path)
    assert (status, told["code"]) == (503, "shutting_down")
