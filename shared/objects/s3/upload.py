"""Putting local files into an S3 store: one request up to 64 MiB, in parts above, never half.

A part's bytes are hashed before they are sent and the server compares; an upload that fails or is
cancelled is aborted, and one whose abort failed too is swept within the hour.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from collections.abc import AsyncIterator
from io import FileIO
from pathlib import Path

from shared.errors.passing import StoreUnavailable
from shared.objects.file_reads import open_file, pread_cached
from shared.objects.port import STREAM_CHUNK_BYTES
from shared.objects.s3.http import S3Http
from shared.objects.s3.multipart import abort_upload, begin_upload, complete_upload
from shared.process.threads import BoundedThreads
from shared.telemetry.logs import get_logger

log = get_logger()

SINGLE_BYTES = 64 * 1024 * 1024
PART_BYTES = 16 * 1024 * 1024
MOST_PARTS = 10_000  # of S3; larger files get larger parts
PARTS_AT_ONCE = 4  # of one file; nothing of them is held in memory
ABORT_SECONDS = 10.0


class Uploader:
    """Uploads over the pool of `http`, reading in `threads` what the kernel does not have in memory."""

    def __init__(self, http: S3Http, threads: BoundedThreads, *, single_bytes: int = SINGLE_BYTES) -> None:
        self._http = http
        self._threads = threads
        self._single_bytes = single_bytes

    async def put_file(self, key: str, path: Path, sha256: str) -> None:
        """The object is there, whole and durable, on return. Raises `StoreUnavailable`."""
        with await self.open(path) as file:
            descriptor = file.fileno()
            size = os.fstat(descriptor).st_size
            if size <= self._single_bytes:
                await self._put_slice(key, descriptor, 0, size, sha256)
            else:
                await self._put_parts(key, descriptor, size)

    async def _put_parts(self, key: str, descriptor: int, size: int) -> None:
        upload_id = await self.begin(key)
        try:
            part_bytes = max(PART_BYTES, -(-size // MOST_PARTS))
            places = asyncio.Semaphore(PARTS_AT_ONCE)

            async def put_part(number: int, start: int) -> str:
                async with places:
                    length = min(part_bytes, size - start)
                    return await self.put_part(key, upload_id, number, descriptor, start, length)

            try:
                async with asyncio.TaskGroup() as group:
                    parts = [
                        group.create_task(put_part(number, start))
                        for number, start in enumerate(range(0, size, part_bytes), 1)
                    ]
            except ExceptionGroup as failures:
                raise failures.exceptions[0] from None
            await self.complete(key, upload_id, [part.result() for part in parts])
        except BaseException:
            await asyncio.shield(self.abort(key, upload_id))
            raise

    # --- the pieces, also of uploads that begin before their file is whole (growing.py) ------------

    @property
    def single_bytes(self) -> int:
        """Larger files go in parts."""
        return self._single_bytes

    async def open(self, path: Path) -> FileIO:
        """The file to read from, for the caller to close. Raises `StoreUnavailable`."""
        try:
            return await self._threads.run(open_file, path)
        except OSError as error:
            raise StoreUnavailable(f"the spool cannot be read: {error.strerror}") from error

    async def begin(self, key: str) -> str:
        """The id of a new upload in parts."""
        return await begin_upload(self._http, key)

    async def put_part(
        self, key: str, upload_id: str, number: int, descriptor: int, start: int, length: int
    ) -> str:
        """Hash and send one part; its ETag."""
        digest = await self._threads.run(_digest_of, descriptor, start, length)
        query = {"partNumber": str(number), "uploadId": upload_id}
        return await self._put_slice(key, descriptor, start, length, digest, query)

    async def complete(self, key: str, upload_id: str, etags: list[str]) -> None:
        """Join the parts, numbered from 1."""
        await complete_upload(self._http, key, upload_id, etags)

    async def abort(self, key: str, upload_id: str) -> None:
        """Forget an upload; one that cannot be forgotten now is swept."""
        try:
            async with asyncio.timeout(ABORT_SECONDS):
                await abort_upload(self._http, key, upload_id)
        except (StoreUnavailable, TimeoutError):
            log.warning("upload_not_aborted", object=self._http.config.name_of(key))  # the sweep finds it

    async def _put_slice(
        self,
        key: str,
        descriptor: int,
        start: int,
        length: int,
        sha256: str,
        query: dict[str, str] | None = None,
    ) -> str:
        """The ETag of what was sent."""
        response = await self._http.call(
            "PUT",
            key,
            query=query,
            payload=lambda: self._read(descriptor, start, start + length) if length else b"",
            size_bytes=length,
            sha256=sha256,
            content_type="" if query else "application/octet-stream",
        )
        etag = response.headers.get("ETag", "")
        return etag.replace('"', "")

    async def _read(self, descriptor: int, start: int, end: int) -> AsyncIterator[bytes]:
        while start < end:
            wanted = min(STREAM_CHUNK_BYTES, end - start)
            chunk = pread_cached(descriptor, wanted, start)
            if not chunk:
                chunk = await self._threads.run(os.pread, descriptor, wanted, start)
            if not chunk:
                raise StoreUnavailable("the spool is shorter than it was")
            start += len(chunk)
            yield chunk


def _digest_of(descriptor: int, start: int, length: int) -> str:
    digest = hashlib.sha256()
    end = start + length
    with contextlib.suppress(OSError):
        while start < end and (chunk := os.pread(descriptor, min(1024 * 1024, end - start), start)):
            digest.update(chunk)
            start += len(chunk)
    return digest.hexdigest()
