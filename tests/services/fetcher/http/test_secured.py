"""A registry behind TLS that names itself by http: asked by https, and never in clear."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from services.fetcher.http.manager import HttpClientManager
from shared.errors import UpstreamBlocked
from shared.models import UpstreamSource
from tests.support.certificates import authority


async def test_http_of_the_same_host__as_address_or_redirect__goes_by_https(tmp_path: Path) -> None:
    ca, context = authority(tmp_path)
    port = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1]
        where = {b"/old": f"http://127.0.0.1:{port}/new", b"/away": f"http://127.0.0.2:{port}/new"}.get(path)
        if where is not None:
            writer.write(f"HTTP/1.1 301 M\r\nlocation: {where}\r\ncontent-length: 0\r\n\r\n".encode())
        else:
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nbody")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context) as server:
        port = server.sockets[0].getsockname()[1]
        source = UpstreamSource(1, "pypi", "secure", f"https://127.0.0.1:{port}/simple/")
        async with HttpClientManager(ca_file=str(ca)) as manager:
            for url in (f"http://127.0.0.1:{port}/file", f"https://127.0.0.1:{port}/old"):
                fetched = await manager.fetch(source, url, max_bytes=100, deadline_seconds=20)
                assert (fetched.status, fetched.body) == (200, b"body")
                assert fetched.url.startswith("https://")
            with pytest.raises(UpstreamBlocked):
                await manager.fetch(
                    source, f"https://127.0.0.1:{port}/away", max_bytes=100, deadline_seconds=20
                )
