"""From a spool into the object store: large files begin to go while the rest of them is still coming.

Only where the index or the address promises a SHA256 is the final name known before the end. For other files
(npm names a SHA512, Maven a SHA1) the upload begins when the download has ended: a copy on the server's side
from a temporary name would cost as much as it saves.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from services.fetcher.spool import Spool
from shared.clients.object_port import GrowingPut
from shared.clients.objects import ObjectStore, artifact_key

STEP_BYTES = 16 * 1024 * 1024  # the store is told of growth in such steps
LEAST_BYTES = 64 * 1024 * 1024  # smaller files go in one request at their end


class SpoolUpload:
    """Of one download. Make it by `spool_upload`, which cleans up after it."""

    def __init__(self, objects: ObjectStore, spool: Spool, expected_sha256: str) -> None:
        self._objects = objects
        self._spool = spool
        self._expected = expected_sha256
        self._put: GrowingPut | None = None
        self._following: asyncio.Task[None] | None = None
        if expected_sha256:
            self._following = asyncio.create_task(self._follow(), name="spool upload")

    async def store(self, sha256: str) -> None:
        """The verified whole is in the store, durable, on return. Raises `StoreUnavailable`."""
        key, spool = artifact_key(sha256), self._spool
        if self._put is not None and sha256 == self._expected:
            await self._objects.finish_put(self._put, key, spool.path, sha256=sha256)
        elif (data := spool.in_memory) is not None:
            await self._objects.put_bytes(key, data)
        else:
            await self._objects.put_file(key, spool.path, sha256=sha256)

    async def aclose(self) -> None:
        """Stop; of what was not stored nothing is kept."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        if self._put is not None:
            await self._put.abort()

    async def _follow(self) -> None:
        spool = self._spool
        if not await spool.reach(LEAST_BYTES + 1):
            return
        self._put = self._objects.begin_put(artifact_key(self._expected), spool.path)
        if self._put is None:
            return
        self._put.grown(spool.size)
        while await spool.reach(spool.size // STEP_BYTES * STEP_BYTES + STEP_BYTES):
            self._put.grown(spool.size)


@contextlib.asynccontextmanager
async def spool_upload(
    objects: ObjectStore, spool: Spool, expected_sha256: str
) -> AsyncIterator[SpoolUpload]:
    """An upload beside a download; `expected_sha256` "" if nobody promises one."""
    upload = SpoolUpload(objects, spool, expected_sha256)
    try:
        yield upload
    finally:
        await asyncio.shield(asyncio.ensure_future(upload.aclose()))
