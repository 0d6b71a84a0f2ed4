"""nginx as an upstream: its own HTTP/2, and connections that it ends after a few requests."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.fetcher.http.http2 import MOST_CONNECTIONS
from services.fetcher.http.manager import HttpClientManager
from shared.models import UpstreamSource
from tests.support.gateway import free_port
from tests.support.orchard import wait_until
from tests.support.proxy import NGINX, is_root, listens, needs_nginx

REQUESTS = 20  # of a connection: then nginx says GOAWAY, and finishes what it began
BODIES = {"small": bytes(range(256)) * 20, "large": bytes(range(256)) * 8000}

_CONFIGURATION = """
daemon off; pid {folder}/nginx.pid; error_log stderr; worker_processes 1; {user}
events {{ }}
http {{
  access_log off; keepalive_requests {requests};
  client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3;
  uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
  server {{
    listen 127.0.0.1:{port} ssl http2;
    ssl_certificate {certificates}/server.pem; ssl_certificate_key {certificates}/server.key;
    root {folder};
  }}
}}
"""


@pytest.fixture
def nginx(tmp_path: Path, signed: tuple[Path, ssl.SSLContext]) -> Iterator[str]:
    """Its address."""
    assert NGINX is not None
    for name, body in BODIES.items():
        (tmp_path / name).write_bytes(body)
    port = free_port()
    text = _CONFIGURATION.format(
        folder=tmp_path,
        port=port,
        requests=REQUESTS,
        certificates=signed[0].parent,
        user="user root;" if is_root() else "",
    )
    (tmp_path / "nginx.conf").write_text(text)
    command = [NGINX, "-e", "stderr", "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait_until(lambda: listens(port) or process.poll() is not None, what="nginx listens")
        assert process.poll() is None, (tmp_path / "log").read_text()
        yield f"https://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


@needs_nginx
async def test_connections_end_after_a_few_requests__every_request_is_answered(nginx: str) -> None:
    source = UpstreamSource(1, "pypi", "test", f"{nginx}/simple/")

    async def get(manager: HttpClientManager, name: str) -> bool:
        async with manager.stream(source, f"{nginx}/{name}") as response:
            assert response.status == 200
            return b"".join([chunk async for chunk in response.chunks()]) == BODIES[name]

    async with HttpClientManager() as manager:
        asked = ["small"] * 150 + ["large"] * 10
        assert all(await asyncio.gather(*(get(manager, name) for name in asked)))
        made = manager.stats().connects
        # Each of the first four took too many at once and was ended; the next ones were filled, no further.
        assert len(asked) // REQUESTS <= made <= len(asked) // REQUESTS + MOST_CONNECTIONS
