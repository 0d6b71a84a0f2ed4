"""Every test of upstream HTTP runs over HTTP/1.1 and over HTTP/2, unless it says it is of one alone."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.fetcher.http.manager import HttpClientManager
from shared.models import UpstreamSource
from tests.support.certificates import authority
from tests.support.http2_upstream import Http2Upstream
from tests.support.upstream import Upstream

BODY = bytes(range(256)) * 1000

HTTP1 = pytest.mark.parametrize("upstream", ["http/1.1"], indirect=True)
HTTP2 = pytest.mark.parametrize("upstream", ["http/2"], indirect=True)


async def get(
    manager: HttpClientManager, upstream: Http2Upstream, path: str = "/file", **options: object
) -> tuple[int, bytes]:
    """Status and whole body of a GET."""
    source = UpstreamSource(1, "pypi", "test", f"{upstream.url}/simple/")
    async with manager.stream(source, upstream.url + path, **options) as response:  # type: ignore[arg-type]
        return response.status, b"".join([chunk async for chunk in response.chunks()])


@pytest.fixture(scope="session")
def signed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    """An authority's certificate, and a TLS server's context for loopback that it signed."""
    return authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(autouse=True)
def trusted(signed: tuple[Path, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch) -> None:
    """Managers of a test trust the authority."""
    monkeypatch.setenv("SSL_CERT_FILE", str(signed[0]))


@pytest.fixture(params=["http/1.1", "http/2"])
def upstream(request: pytest.FixtureRequest, signed: tuple[Path, ssl.SSLContext]) -> Iterator[Upstream]:
    """A scripted upstream with a /file, in clear by HTTP/1.1 and over TLS by HTTP/2."""
    with Http2Upstream(signed[1]) if request.param == "http/2" else Upstream() as server:
        server.put("/file", BODY)
        yield server
