"""The sources at `imported.invalid`: requests to them are answered out of rows and objects.

So what was imported passes everything that an upstream's answers pass: pins, owners, hashes, the firewall.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator, Mapping
from urllib.parse import unquote, urlsplit

import httpx

from shared.imports import rows
from shared.objects.port import ObjectStore, artifact_key
from shared.postgres.database import Database
from shared.protocols import find_protocol
from shared.protocols.roles.importing import Imported

_RANGE = re.compile(r"bytes=([0-9]{1,18})-([0-9]{0,18})")


class ImportedFiles:
    """Over stores that others open and close."""

    def __init__(self, database: Database, objects: ObjectStore) -> None:
        self._database = database
        self._objects = objects

    def answers(self, source_url: str, url: str) -> bool:
        """Whether a source at this address is one of these, and is asked for something of its own."""
        return rows.is_import(source_url) and rows.is_import(url)

    @contextlib.asynccontextmanager
    async def answer(self, request: httpx.Request) -> AsyncIterator[httpx.Response]:
        """To GET and HEAD, also of one range: 200, 206, 404 or 405; 416 for a range that is none.

        Raises `DatabaseUnavailable`; while the body is read what the object store raises.
        """
        found = await self._find(request)
        try:
            yield found
        finally:
            await found.aclose()

    async def _find(self, request: httpx.Request) -> httpx.Response:
        if request.method not in ("GET", "HEAD"):
            return httpx.Response(405, request=request, stream=_Body())
        name, _, path = unquote(urlsplit(str(request.url)).path.removeprefix("/")).partition("/")
        protocol = find_protocol(name)
        if protocol is None or "\0" in path:
            return httpx.Response(404, request=request, stream=_Body())
        file = await rows.at_path(self._database, name, path)
        if file is not None:
            told = protocol.grammar.digest_headers(file.digests)
            return self._file(request, file, told)
        project = protocol.importing.project_at(path)
        if project is not None:
            files = await rows.of_project(self._database, name, project) if project else []
            page = protocol.importing.page(path, rows.address_of(name), files)
            if page is not None:
                headers = {"content-type": page.content_type, "content-length": str(len(page.body))}
                body = _Body() if request.method == "HEAD" else _Body(_once(page.body))
                return httpx.Response(200, headers=headers, request=request, stream=body)
        return httpx.Response(404, request=request, stream=_Body())

    def _file(self, request: httpx.Request, file: Imported, told: Mapping[str, str]) -> httpx.Response:
        headers = {"content-type": "application/octet-stream", "etag": f'"{file.sha256}"', **told}
        start, end, status = 0, file.size_bytes, 200
        if wanted := request.headers.get("range", ""):
            found = _RANGE.fullmatch(wanted)
            if found is not None:
                start = int(found[1])
                end = min(int(found[2]) + 1, end) if found[2] else end
                if start >= end:
                    headers["content-range"] = f"bytes */{file.size_bytes}"
                    return httpx.Response(416, headers=headers, request=request, stream=_Body())
                status, headers["content-range"] = 206, f"bytes {start}-{end - 1}/{file.size_bytes}"
        headers["content-length"] = str(end - start)
        key = artifact_key(file.sha256)
        body = _Body() if request.method == "HEAD" else _Body(self._objects.open_stream(key, start, end))
        return httpx.Response(status, headers=headers, request=request, stream=body)


class _Body(httpx.AsyncByteStream):
    def __init__(self, chunks: AsyncIterator[bytes] | None = None) -> None:
        self._chunks = chunks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self._chunks is not None:
            async for chunk in self._chunks:
                yield chunk

    async def aclose(self) -> None:
        close = getattr(self._chunks, "aclose", None)
        if close is not None:
            await close()


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body
