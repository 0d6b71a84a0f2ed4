"""HEAD of what is no package: the head of the GET, and nothing after it (RFC 9110, 9.3.2)."""

from __future__ import annotations

import asyncio

import pytest

from tests.services.gateway.conftest import Stores
from tests.support.gateway import GatewayProcess

VOLATILE = {"x-request-id", "date", "content-length"}  # the time is in some bodies


@pytest.mark.parametrize(
    "path",
    [
        "/", "/ui/", "/ui/packages", "/orchard.pyz", "/health", "/health/live", "/health/ready", "/metrics",
        "/api/v1/upstreams", "/api/v1/packages/pypi", "/api/v1/packages/gopher", "/api/v1/admin/blocks",
        "/api/v1/search", "/nothing",
    ],
)  # fmt: skip
async def test_head__of_pages_and_the_api__is_that_of_the_get(
    gateway: GatewayProcess, stores: Stores, path: str
) -> None:
    get = await asyncio.to_thread(gateway.request, path)
    head = await asyncio.to_thread(gateway.request, path, "HEAD")
    assert (head.status, head.body) == (get.status, b"")
    kept = [
        {name: each.headers[name] for name in each.headers if name not in VOLATILE} for each in (get, head)
    ]
    assert kept[0] == kept[1]
    assert len(get.body) > 0


async def test_head__of_a_stream_of_events__refused_at_once(gateway: GatewayProcess, stores: Stores) -> None:
    answer = await asyncio.to_thread(gateway.request, "/api/v1/queues/events", "HEAD")
    assert (answer.status, answer.body) == (405, b"")


async def test_head__of_what_can_only_be_posted__405(gateway: GatewayProcess, stores: Stores) -> None:
    answer = await asyncio.to_thread(gateway.request, "/api/v1/resolve", "HEAD")
    assert (answer.status, answer.body) == (405, b"")
