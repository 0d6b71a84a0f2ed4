"""Where reading needs a token, every way to an answer asks for it, however near the answer lies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from services.gateway.api.resolution import resolution_request
from shared.cache.keys import Category
from tests.services.gateway.conftest import Stores
from tests.support.gateway import GatewayProcess, RawResponse, running_gateway

TOKEN = {"authorization": "Bearer operators-token-of-tests"}
JSON = "application/vnd.pypi.simple.v1+json"
PAGE = "/pypi/simple/demo/"
GRAPH = b'{"request":{"protocol":"pypi"},"nodes":[]}'

Way = tuple[str, str, dict[str, str]]


@pytest_asyncio.fixture
async def private(store_settings: dict[str, str], tmp_path: Path) -> AsyncIterator[GatewayProcess]:
    settings = {
        **store_settings,
        "ORCHARD_ANONYMOUS_READ": "false",
        "ORCHARD_ADMIN_TOKEN": TOKEN["authorization"].split()[1],
        "ORCHARD_REQUEST_TIMEOUT": "1",
    }
    with running_gateway(settings, tmp_path) as gateway:
        yield gateway


async def _ways(stores: Stores) -> dict[str, Way]:
    """What is asked for, by how it is answered; all of it is there."""
    head = await stores.put_index("demo")
    facts = await stores.put_artifact("demo", "demo-1.0-py3-none-any.whl", b"PK\x03\x04" + b"x" * 2000)
    file = f"/pypi/files/demo/{facts.sha256}/{facts.filename}"
    request = resolution_request("pypi", {}, artifact=facts.sha256)
    await stores.cache.set(Category.DEPENDENCY_RESOLUTION, "pypi", request.key, GRAPH)
    return {
        "page": ("GET", PAGE, {"accept": JSON}),
        "head of a page": ("HEAD", PAGE, {"accept": JSON}),
        "page if changed": (
            "GET", PAGE, {"accept": JSON, "if_none_match": head.variants["json.identity"].etag},
        ),
        "redirect": ("GET", "/pypi/simple/Demo", {"accept": JSON}),
        "file": ("GET", file, {}),
        "head of a file": ("HEAD", file, {}),
        "range of a file": ("GET", file, {"range": "bytes=0-9"}),
        "metadata": ("GET", file + ".metadata", {}),
        "kept resolution": ("GET", f"/api/v1/artifacts/{facts.sha256}/resolution", {}),
        "packages": ("GET", "/api/v1/packages/pypi", {}),
        "queues": ("GET", "/ui/queues", {}),
    }  # fmt: skip


async def _ask(gateway: GatewayProcess, way: Way, **more: str) -> RawResponse:
    method, path, headers = way
    return await asyncio.to_thread(gateway.request, path, method, **headers, **more)


async def test_every_way__without_a_token__401_also_once_the_answer_is_in_memory(
    private: GatewayProcess, stores: Stores
) -> None:
    ways = await _ways(stores)
    assert {name: (await _ask(private, way)).status for name, way in ways.items()} == dict.fromkeys(ways, 401)
    for name, way in ways.items():
        with_token = [await _ask(private, way, **TOKEN) for _ in range(4)]
        assert name == "metadata" or with_token[-1].status in (200, 206, 301, 304), (name, with_token[-1])
        if name in ("page", "file", "kept resolution"):
            assert with_token[-1].headers["x-cache"] == "HIT"
            # Memory tells requests with a token from those without, not one token from another.
            assert (await _ask(private, way, authorization="Bearer somebody-else-s")).status == 401
    assert {name: (await _ask(private, way)).status for name, way in ways.items()} == dict.fromkeys(ways, 401)


async def test_preflight__of_another_site__is_told_nothing(private: GatewayProcess, stores: Stores) -> None:
    await stores.put_index("demo")
    site = {"origin": "https://other.example.com", "access_control_request_method": "GET"}
    asked = await asyncio.to_thread(private.request, PAGE, "OPTIONS", **site)
    assert (asked.status, asked.headers.get("access-control-allow-origin")) == (401, None)
    page = await asyncio.to_thread(private.request, PAGE, origin=site["origin"], accept=JSON, **TOKEN)
    assert (page.status, page.headers.get("access-control-allow-origin")) == (200, None)


async def test_person_without_a_token__is_told_how_to_get_one_and_led_to_the_pages(
    private: GatewayProcess,
) -> None:
    front = await asyncio.to_thread(private.request, "/")
    assert front.status == 200
    for told in (b"Reading needs a token", b"orchard tokens create", b"ui/signin", b"client-config"):
        assert told in front.body, told
    without_slash = await asyncio.to_thread(private.request, "/ui", accept="text/html")
    assert (without_slash.status, without_slash.headers["location"]) == (303, "./ui/")
    pages = await asyncio.to_thread(private.request, "/ui/", accept="text/html")
    assert (pages.status, pages.headers["location"]) == (303, "./signin?to=")
