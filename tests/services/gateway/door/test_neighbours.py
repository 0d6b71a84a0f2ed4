"""On loopback the Host header and the page's site are what keeps a browser's other pages out."""

from __future__ import annotations

import asyncio

import pytest

from services.gateway.door.neighbours import KnownHosts
from shared.errors import UnknownHost
from shared.settings import Settings
from tests.services.gateway.conftest import Stores
from tests.support.gateway import GatewayProcess

OWN = ("127.0.0.1:8080", "localhost", "LOCALHOST:1", "[::1]:8080", "127.0.0.2", "orchard.example.com:444")
OTHERS = (
    "evil.example",
    "evil.example:8080",
    "127.0.0.1.evil.example",
    "localhost.evil.example",
    "10.0.0.5",
    "x",
)
JSON = "application/vnd.pypi.simple.v1+json"
LOCAL = Settings(public_url=("https://orchard.example.com/",))


def _accepts(settings: Settings, host: str) -> bool:
    hosts = KnownHosts(settings)
    try:
        hosts.check(host.encode())
    except UnknownHost:
        return not hosts.limited
    return True


@pytest.mark.parametrize("host", OWN)
def test_host__own_name_on_loopback__answered(host: str) -> None:
    assert _accepts(LOCAL, host)


@pytest.mark.parametrize("host", OTHERS)
def test_host__another_name_on_loopback__refused_unless_set(host: str) -> None:
    assert not _accepts(LOCAL, host)
    assert _accepts(Settings(allowed_hosts=(host.partition(":")[0],)), host)
    assert _accepts(Settings(allowed_hosts=("*",)), host)


@pytest.mark.parametrize("host", (*OWN, *OTHERS))
def test_host__where_others_reach_it__any_unless_set(host: str) -> None:
    assert _accepts(Settings(host="0.0.0.0"), host)
    assert not _accepts(Settings(host="0.0.0.0", allowed_hosts=("a.example.com",)), "evil.example")


@pytest.mark.parametrize("path", ["/pypi/simple/demo/", "/api/v1/packages", "/health", "/ui/", "/"])
@pytest.mark.parametrize("forwarded", [{}, {"x_forwarded_host": "127.0.0.1"}])
async def test_request__rebound_name__misdirected_everywhere_and_hot(
    gateway: GatewayProcess, stores: Stores, path: str, forwarded: dict[str, str]
) -> None:
    await stores.put_index("demo")
    for _ in range(2):
        assert (await asyncio.to_thread(gateway.request, path, accept=JSON)).status != 421
    host = {"host": f"evil.example:{gateway.port}"}
    reply = await asyncio.to_thread(gateway.request, path, accept=JSON, **host, **forwarded)
    assert reply.status == 421
    assert b"unknown_host" in reply.body or b"ORCHARD_ALLOWED_HOSTS" in reply.body


@pytest.mark.parametrize(
    "path",
    ["/api/v1/resolve", "/api/v1/ensure", "/npm/-/npm/v1/security/advisories/bulk", "/pypi/simple/demo/"],
)
@pytest.mark.parametrize(
    "sent",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
    ],
)
async def test_post__page_of_another_site__refused_before_any_work(
    gateway: GatewayProcess, stores: Stores, path: str, sent: dict[str, str]
) -> None:
    reply = await asyncio.to_thread(gateway.request, path, "POST", content_type="text/plain", **sent)
    assert reply.status == 403
    assert "access-control-allow-origin" not in reply.headers
