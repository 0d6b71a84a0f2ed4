"""What the nginx files of deploy/ let through to gateways: everything but what is for operators."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.proxy import needs_nginx, nginx
from tests.support.stores import ROOT

SHUT = (
    "/metrics",
    "//metrics/",
    "/%6detrics",
    "/metrics?x",
    "/health",
    "/health/",
    "/health/ready",
    "/x/../health",
)
OPEN = ("/health/live", "/healthy", "/pypi/simple/health/", "/npm/metrics", "/api/v1/admin/health")


class _Anything(http.server.BaseHTTPRequestHandler):
    """A gateway that has whatever it is asked for."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def gateway() -> Iterator[int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Anything)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@needs_nginx
@pytest.mark.parametrize("folder", ["compose", "edge"])
def test_proxy__of_health_and_metrics__shows_only_that_it_lives(
    folder: str, gateway: int, tmp_path: Path
) -> None:
    with nginx(tmp_path, [gateway, gateway], ROOT / "deploy" / folder / "nginx.conf") as base:
        told = {path: _status(base, path) for path in SHUT + OPEN}
    assert told == dict.fromkeys(SHUT, 404) | dict.fromkeys(OPEN, 200)


def _status(base: str, path: str) -> int:
    """Of the path as it is written: no client tidies it up."""
    with closing(HTTPConnection(str(urlsplit(base).netloc), timeout=30)) as connection:
        connection.request("GET", path)
        return connection.getresponse().status
