"""A small raw HTTP/1.1 client that times the first body byte and hashes what it gets."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from urllib.parse import urljoin, urlsplit

import msgspec

JSON = "application/vnd.pypi.simple.v1+json"


class Download(msgspec.Struct, frozen=True):
    """One finished download: times in seconds from the moment the request was sent."""

    status: int
    first_byte_seconds: float
    total_seconds: float
    size_bytes: int
    sha256: str
    x_cache: str


async def download(
    url: str,
    *,
    accept: str = "*/*",
    coding: str = "identity",
    keep: bytearray | None = None,
    pause: float = 0.0,
) -> Download:
    """GET one address on a connection of its own; `pause` seconds after each read make a slow client."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port, limit=1 << 20)
    started = time.perf_counter()
    writer.write(
        f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nAccept: {accept}\r\n"
        f"Accept-Encoding: {coding}\r\nConnection: close\r\n\r\n".encode()
    )
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])
        }
        digest = hashlib.sha256()
        size, first = 0, 0.0
        async for block in _body(reader, headers):
            if not first:
                first = time.perf_counter() - started
            digest.update(block)
            size += len(block)
            if keep is not None:
                keep += block
            if pause:
                await asyncio.sleep(pause)
        return Download(
            status=int(head[0].split()[1]),
            first_byte_seconds=first,
            total_seconds=time.perf_counter() - started,
            size_bytes=size,
            sha256=digest.hexdigest(),
            x_cache=headers.get("x-cache", ""),
        )
    finally:
        writer.close()


async def _body(reader: asyncio.StreamReader, headers: dict[str, str]):  # type: ignore[no-untyped-def]
    """The body's blocks; raises `IncompleteReadError` when the transfer was broken off."""
    if "chunked" in headers.get("transfer-encoding", ""):
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            block = await reader.readexactly(size + 2)
            yield block[:-2]
        await reader.readuntil(b"\r\n")
        return
    left = int(headers.get("content-length", "0"))
    while left > 0:
        block = await reader.read(min(left, 1 << 18))
        if not block:
            raise asyncio.IncompleteReadError(b"", left)
        left -= len(block)
        yield block


async def file_address(page_url: str, filename: str) -> str:
    """The absolute address of a file as a project's page gives it."""
    body = bytearray()
    await download(page_url, accept=JSON, keep=body)
    entries = json.loads(body)["files"]
    return urljoin(page_url, next(entry["url"] for entry in entries if entry["filename"] == filename))
