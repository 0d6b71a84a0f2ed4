"""The object store on an S3 server: `ObjectStore` for Orchards of more than one machine.

Objects are immutable and named by their content, which makes everything here safe to repeat: a put
that was answered too late is put again, a stream that breaks goes on where it was.
"""

from __future__ import annotations

import hashlib
import re
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

from shared.errors import ConfigurationError
from shared.errors.passing import ObjectMissing, StoreUnavailable
from shared.http.headers import date_seconds
from shared.objects.port import STREAM_CHUNK_BYTES, GrowingPut, ObjectStat, split_key
from shared.objects.s3.admin import S3Admin
from shared.objects.s3.bodies import BODY_ERRORS
from shared.objects.s3.config import S3Config
from shared.objects.s3.errors import BucketMissing, ClocksDiffer, CredentialsRefused
from shared.objects.s3.growing import GrowingUpload
from shared.objects.s3.http import S3Http
from shared.objects.s3.multipart import abort_upload, incomplete_uploads
from shared.objects.s3.plain import ObjectBody
from shared.objects.s3.upload import SINGLE_BYTES, Uploader
from shared.process.allocator import keep_freed_memory
from shared.process.threads import BoundedThreads
from shared.telemetry.logs import get_logger

log = get_logger()

RESUMES = 3  # of a stream that breaks, without a byte in between
LEFTOVER_SECONDS = 3600.0  # an upload that is this old is nobody's any more
HASHED_ON_THE_LOOP = 64 * 1024
_TOTAL = re.compile(r"bytes (\d{1,18})-\d{1,18}/")


class S3ObjectStore:
    """`ObjectStore` in one bucket. Whoever opens it closes it; `threads` is shared, its owner closes it."""

    def __init__(
        self, config: S3Config, threads: BoundedThreads, *, single_bytes: int = SINGLE_BYTES
    ) -> None:
        """Files above `single_bytes` are uploaded in parts."""
        self._config = config
        self._threads = threads
        self._http = S3Http(config)
        self._admin = S3Admin(config, threads)
        self._uploader = Uploader(self._http, threads, single_bytes=single_bytes)

    def __repr__(self) -> str:
        return f"S3ObjectStore({self._config!r})"

    async def open(self) -> None:
        """Make the connection pools; connects to nothing yet."""
        keep_freed_memory()
        await self._http.open()

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http.aclose()
        self._admin.close()

    # --- the port ---------------------------------------------------------------------------------

    async def put_file(self, key: str, path: Path, *, sha256: str) -> None:
        """See `ObjectStore`. Streamed; in parts when large, which are aborted if any fails."""
        split_key(key)
        await self._uploader.put_file(key, path, sha256)

    def begin_put(self, key: str, path: Path) -> GrowingPut:
        """See `ObjectStore`. Nothing is sent before the file is larger than one request takes."""
        split_key(key)
        return GrowingUpload(self._uploader, key, path)

    async def finish_put(self, put: GrowingPut, key: str, path: Path, *, sha256: str) -> None:
        """See `ObjectStore`."""
        size = (await self._threads.run(path.stat)).st_size
        if not await put.finish(size):
            await self.put_file(key, path, sha256=sha256)

    async def put_bytes(self, key: str, data: bytes) -> None:
        """See `ObjectStore`. One request; the server compares the digest."""
        split_key(key)
        if len(data) <= HASHED_ON_THE_LOOP:
            sha256 = hashlib.sha256(data).hexdigest()
        else:
            sha256 = (await self._threads.run(hashlib.sha256, data)).hexdigest()
        await self._put(key, data, sha256)

    async def read(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        """See `ObjectStore`."""
        if length == 0:
            return b""
        end = None if length is None else start + length
        pieces = [chunk async for chunk in self.open_stream(key, start, end)]
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def open_stream(
        self, key: str, start: int = 0, end: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        """See `ObjectStore`. A connection that breaks is replaced, from the byte that was reached."""
        split_key(key)
        position, failures = start, 0
        while end is None or position < end:
            before = position
            try:
                byte_range = "" if position == 0 and end is None else f"bytes={position}-{_last(end)}"
                async with self._http.get(key, byte_range) as response:
                    if not _is_what_was_asked(response, position, byte_range):
                        return
                    while chunk := await response.read():
                        if end is not None and position + len(chunk) > end:  # a 200 to a range from byte 0
                            chunk = chunk[: end - position]
                        position += len(chunk)
                        yield chunk
                        if position == end:
                            return
                    return
            except BODY_ERRORS as error:
                failures = 1 if position > before else failures + 1
                if failures > RESUMES:
                    raise StoreUnavailable(
                        f"the object store broke off ({type(error).__name__} at {key})"
                    ) from error
                log.info("object_stream_resumed", key=key, offset=position, kind=type(error).__name__)

    async def stat(self, key: str) -> ObjectStat | None:
        """See `ObjectStore`."""
        split_key(key)
        try:
            found = await self._http.call("HEAD", key)
        except ObjectMissing:
            return None
        at = date_seconds(found.headers.get("Last-Modified", ""))
        if at is None:
            at = time.time()  # as young as can be: nothing is swept for want of a date
        return ObjectStat(key, int(found.headers.get("Content-Length", "0")), at)

    async def delete(self, key: str) -> None:
        """See `ObjectStore`."""
        split_key(key)
        try:
            await self._http.call("DELETE", key)
        except ObjectMissing:
            return

    async def set_aside(self, key: str) -> None:
        """See `ObjectStore`. Deleted: a bucket with versions keeps them itself."""
        await self.delete(key)

    def local_path(self, key: str) -> Path | None:
        """None: nothing of it is here."""
        split_key(key)
        return None

    async def list(self, prefix: str, after: str = "") -> AsyncIterator[ObjectStat]:
        """See `ObjectStore`."""
        name_after = self._config.name_of(after) if after else ""
        async for found in self._admin.objects(self._config.name_of(prefix), name_after):
            yield found

    def presign(
        self,
        key: str,
        *,
        expires_seconds: int,
        method: str = "GET",
        filename: str = "",
        content_type: str = "",
    ) -> str:
        """A URL at which a client gets the object itself, under this name and type. No I/O.

        Ranges are allowed (only the host is signed). `method` "HEAD" is another signature.
        """
        split_key(key)
        query = {}
        if filename:
            query["response-content-disposition"] = f'attachment; filename="{filename}"'
        if content_type:
            query["response-content-type"] = content_type
        return self._http.presign(method, key, expires_seconds=expires_seconds, query=query, public=True)

    async def check(self) -> None:
        """At start: bucket, credentials and writing. A store that is merely full may start: it recovers.

        Raises `ConfigurationError` naming the variable for what waiting does not cure, and
        `StoreUnavailable` when the server does not answer (it may be starting).
        """
        try:
            try:
                await self._http.call("GET", "", query={"list-type": "2", "max-keys": "1"})
            except BucketMissing:
                if not self._config.create_bucket:
                    raise ConfigurationError(
                        f"ORCHARD_S3_BUCKET: there is no bucket {self._config.bucket!r} at the object store "
                        "(ORCHARD_S3_CREATE_BUCKET=true makes it)"
                    ) from None
                await self._admin.make_bucket()
                log.info("bucket_made", bucket=self._config.bucket)
            await self._probe()
        except CredentialsRefused as error:
            raise ConfigurationError(f"ORCHARD_S3_ACCESS_KEY: {error.message}") from error
        except ClocksDiffer as error:
            raise ConfigurationError(f"ORCHARD_S3_ENDPOINT: {error.message}") from error

    # --- housekeeping -----------------------------------------------------------------------------

    async def abort_leftovers(self, older_than_seconds: float = LEFTOVER_SECONDS) -> int:
        """Abort the multipart uploads that nobody finished; how many."""
        oldest = time.time() - older_than_seconds
        aborted = 0
        for upload in await incomplete_uploads(self._http):
            if upload.started_at and upload.started_at < oldest:
                await abort_upload(self._http, upload.key, upload.upload_id)
                aborted += 1
        return aborted

    # --- inside -----------------------------------------------------------------------------------

    async def _put(self, key: str, data: bytes, sha256: str) -> None:
        await self._http.call(
            "PUT",
            key,
            payload=lambda: data if len(data) <= STREAM_CHUNK_BYTES else _slices(data),
            size_bytes=len(data),
            sha256=sha256,
            content_type="application/octet-stream",
        )

    async def _probe(self) -> None:
        key = f"probe/{uuid.uuid4().hex}"
        data = b"orchard"
        try:
            await self._put(key, data, hashlib.sha256(data).hexdigest())
            await self._http.call("DELETE", key)
        except CredentialsRefused as error:
            raise ConfigurationError(
                "ORCHARD_S3_ACCESS_KEY: may not write to the bucket or delete from it"
            ) from error
        except ClocksDiffer:
            raise
        except StoreUnavailable as error:
            log.warning("object_store_not_writable", error=error.message)


async def _slices(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), STREAM_CHUNK_BYTES):
        yield data[start : start + STREAM_CHUNK_BYTES]


def _last(end: int | None) -> str:
    return "" if end is None else str(end - 1)


def _is_what_was_asked(response: ObjectBody, position: int, byte_range: str) -> bool:
    """False: there is nothing at `position`. Raises `StoreUnavailable` for another part than asked."""
    if response.status == 416:
        return False
    if not byte_range or (response.status == 200 and position == 0):
        return True
    found = _TOTAL.match(response.header("content-range"))
    if response.status != 206 or found is None or int(found[1]) != position:
        raise StoreUnavailable("the object store sent another part than asked")
    return True
