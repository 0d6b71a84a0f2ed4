"""Uploading a file to an S3 store while it is still being written, so that little is left to do at its end.

Parts go out as soon as their bytes are there. Nothing is visible before `finish` joins them, which its caller
asks for once all bytes were verified. Whatever goes wrong before is no failure of the download: the upload is
aborted and the file put as a whole at its end. Of a process that dies the sweep finds the leftovers.
"""

from __future__ import annotations

import asyncio
from io import FileIO
from pathlib import Path

from shared.errors import OrchardError
from shared.objects.s3.upload import PART_BYTES, PARTS_AT_ONCE, Uploader
from shared.telemetry.logs import get_logger

log = get_logger()


class GrowingUpload:
    """Fulfils the port `GrowingPut`. Only bytes that will not change any more may be announced."""

    def __init__(self, uploader: Uploader, key: str, path: Path) -> None:
        self._uploader = uploader
        self._key = key
        self._path = path
        self._file: FileIO | None = None
        self._upload_id = ""
        self._beginning: asyncio.Task[None] | None = None
        self._parts: list[asyncio.Task[str]] = []
        self._places = asyncio.Semaphore(PARTS_AT_ONCE)
        self._failed = False

    def grown(self, size_bytes: int) -> None:
        """See `GrowingPut`."""
        if size_bytes <= self._uploader.single_bytes or self._failed:
            return
        if self._beginning is None:
            self._beginning = asyncio.create_task(self._begin(), name=f"upload {self._key}")
        while (len(self._parts) + 1) * PART_BYTES <= size_bytes:
            self._send(PART_BYTES)

    async def finish(self, size_bytes: int) -> bool:
        """See `GrowingPut`. Raises nothing but cancellation: what failed is tried again as a whole."""
        self.grown(size_bytes)
        if self._beginning is None or self._failed:
            await self.abort()
            return False
        if size_bytes > len(self._parts) * PART_BYTES:
            self._send(size_bytes - len(self._parts) * PART_BYTES)
        try:
            etags = [await part for part in self._parts]
            await self._uploader.complete(self._key, self._upload_id, etags)
        except OrchardError:
            await self.abort()
            return False
        except BaseException:
            await asyncio.shield(asyncio.ensure_future(self.abort()))
            raise
        self._upload_id = ""
        await self.abort()
        return True

    async def abort(self) -> None:
        """See `GrowingPut`."""
        self._failed = True
        tasks = [task for task in (self._beginning, *self._parts) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        upload_id, self._upload_id = self._upload_id, ""
        if upload_id:
            await self._uploader.abort(self._key, upload_id)
        if self._file is not None:
            self._file.close()
            self._file = None

    async def _begin(self) -> None:
        self._file = await self._uploader.open(self._path)
        self._upload_id = await self._uploader.begin(self._key)

    def _send(self, length: int) -> None:
        number = len(self._parts) + 1
        part = asyncio.create_task(self._put_part(number, length), name=f"part {number} of {self._key}")
        part.add_done_callback(self._ended)
        self._parts.append(part)

    async def _put_part(self, number: int, length: int) -> str:
        assert self._beginning is not None
        await asyncio.shield(self._beginning)
        async with self._places:
            assert self._file is not None
            start = (number - 1) * PART_BYTES
            return await self._uploader.put_part(
                self._key, self._upload_id, number, self._file.fileno(), start, length
            )

    def _ended(self, part: asyncio.Task[str]) -> None:
        if part.cancelled() or part.exception() is None:
            return
        if not self._failed:
            self._failed = True  # no further part is sent; `finish` or `abort` cleans up
            log.info("upload_given_up", key=self._key, reason=str(part.exception()))
