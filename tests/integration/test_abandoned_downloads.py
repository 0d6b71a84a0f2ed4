"""A client that leaves in the middle of a large file, through a real gateway and a real fetcher."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable

import pytest

from bench.harness.download import download
from tests.support.builders import build_wheel
from tests.support.orchard import Cluster, wait_until
from tests.support.upstream import Fault, Upstream

Names = Callable[[], str]
SIZE = 8_000_000


@pytest.fixture(scope="module")
def orchard_settings() -> dict[str, str]:
    return {"ORCHARD_ABANDONED_SECONDS": "1"}


async def test_abandoned__the_client_left__the_download_stops_and_the_next_one_gets_all(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    name = project()
    filename = f"{name.replace('-', '_')}-1.0-py3-none-any.whl"
    wheel = build_wheel(name, "1.0", size_bytes=SIZE)
    upstream.add_project(name, {filename: wheel})
    orchard.page(name)
    upstream.fault(f"/files/{name}/{filename}", Fault(bytes_per_second=500_000))
    url = orchard.url(f"/pypi/files/{name}/{hashlib.sha256(wheel).hexdigest()}/{filename}")

    await _leave_after(url, 300_000)
    spool = orchard.folder / "data" / "spool"
    await asyncio.to_thread(
        wait_until, lambda: not any(spool.rglob("*-*")), seconds=12, what="the download to stop"
    )
    objects = orchard.folder / "data" / "objects"
    assert not [path for path in objects.rglob("*") if path.is_file() and path.stat().st_size > SIZE // 2]

    upstream.heal()
    answer = await download(url)
    assert (answer.status, answer.sha256) == (200, hashlib.sha256(wheel).hexdigest())
    assert upstream.count(f"/files/{name}/{filename}") == 2


async def _leave_after(url: str, size_bytes: int) -> None:
    host, _, path = url.removeprefix("http://").partition("/")
    reader, writer = await asyncio.open_connection(*host.split(":"))
    writer.write(f"GET /{path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    await reader.readexactly(size_bytes)
    writer.close()
