"""Pages of any origin may read what everybody may read, and nothing else."""

from __future__ import annotations

import asyncio

import pytest

from tests.services.gateway.conftest import Stores
from tests.support.gateway import GatewayProcess, RawResponse

JSON = "application/vnd.pypi.simple.v1+json"
ORIGIN = {"Origin": "https://notebook.example.com"}
ALLOWED = "access-control-allow-origin"


async def _ask(gateway: GatewayProcess, path: str, method: str = "GET", **headers: str) -> RawResponse:
    return await asyncio.to_thread(gateway.request, path, method, **ORIGIN, **headers)


async def test_read__with_an_origin__is_readable_also_hot_and_as_an_error(
    gateway: GatewayProcess, stores: Stores
) -> None:
    await stores.put_index("demo")
    for _ in range(3):  # found, kept, hot
        for method in ("GET", "HEAD"):
            reply = await _ask(gateway, "/pypi/simple/demo/", method, Accept=JSON)
            assert (reply.status, reply.headers[ALLOWED]) == (200, "*")
            assert reply.headers["access-control-expose-headers"] == "*"
    for path in ("/pypi/simple/../x/", "/npm/%00", "/maven/nothing"):
        reply = await _ask(gateway, path)
        assert reply.status >= 400 and reply.headers[ALLOWED] == "*"


async def test_read__without_an_origin__as_ever(gateway: GatewayProcess, stores: Stores) -> None:
    await stores.put_index("demo")
    reply = await asyncio.to_thread(gateway.request, "/pypi/simple/demo/", accept=JSON)
    assert reply.status == 200 and ALLOWED not in reply.headers


@pytest.mark.parametrize("path", ["/pypi/simple/demo/", "/npm/demo", "/maven/a/b/1/b-1.jar"])
async def test_preflight__of_a_read__allowed(gateway: GatewayProcess, path: str) -> None:
    asked = {"Access_Control_Request_Method": "GET", "Access_Control_Request_Headers": "range"}
    reply = await _ask(gateway, path, "OPTIONS", **asked)
    assert (reply.status, reply.headers[ALLOWED]) == (204, "*")
    assert reply.headers["access-control-allow-methods"] == "GET, HEAD"
    assert reply.headers["access-control-allow-headers"] == "*"


@pytest.mark.parametrize(
    ("path", "method", "asked"),
    [
        ("/pypi/simple/demo/", "OPTIONS", "POST"),
        ("/npm/-/npm/v1/security/advisories/bulk", "OPTIONS", "POST"),
        ("/pypi/simple/demo/", "POST", ""),
        ("/api/v1/resolution", "OPTIONS", "GET"),
        ("/api/v1/upstreams", "GET", ""),
        ("/health", "GET", ""),
    ],
)
async def test_all_else__is_not_readable(gateway: GatewayProcess, path: str, method: str, asked: str) -> None:
    reply = await _ask(gateway, path, method, **({"Access_Control_Request_Method": asked} if asked else {}))
    assert ALLOWED not in reply.headers
