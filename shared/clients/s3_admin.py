"""What the MinIO SDK does for an S3 store: the bucket itself, listings, and the frame of multipart uploads.

The SDK blocks, so it runs in threads; its own time-outs (5 minutes, five tries) are replaced. Bytes of
objects never pass through here (s3_http.py).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime
from itertools import islice
from typing import Any, TypeVar

import msgspec
import urllib3
from minio import Minio
from minio.datatypes import Part
from minio.error import InvalidResponseError, MinioException, S3Error, ServerError

from shared.clients.object_port import ObjectStat
from shared.clients.s3_config import S3Config, tls_context
from shared.clients.s3_errors import as_error
from shared.clients.threads import BoundedThreads
from shared.errors import StoreUnavailable

CONNECT_SECONDS = 2.0
READ_SECONDS = 8.0
COMPLETE_SECONDS = 60.0  # joining the parts of a large object takes the server its time
TRIES = 2
LIST_BATCH = 1000

R = TypeVar("R")


class IncompleteUpload(msgspec.Struct, frozen=True):
    """A multipart upload that was begun and neither completed nor aborted."""

    name: str  # of the object, with the bucket's prefix
    upload_id: str
    started_at: float  # unix seconds; 0: the server does not say


class S3Admin:
    """The SDK's client for one bucket; `threads` is shared, its owner closes it."""

    def __init__(self, config: S3Config, threads: BoundedThreads) -> None:
        self._config = config
        self._threads = threads
        self._pool = _pool(config, READ_SECONDS)
        self._slow_pool = _pool(config, COMPLETE_SECONDS)
        self._client = self._sdk(self._pool)
        self._slow_client = self._sdk(self._slow_pool)

    def close(self) -> None:
        """Close idle connections."""
        self._pool.clear()
        self._slow_pool.clear()

    async def make_bucket(self) -> None:
        """Make the bucket; one that is there already is fine."""
        try:
            await self._run("making the bucket", self._client.make_bucket, self._config.bucket)
        except StoreUnavailable as error:
            if "BucketAlready" not in error.message:
                raise

    async def objects(self, name_prefix: str) -> AsyncIterator[ObjectStat]:
        """All objects whose name in the bucket starts with `name_prefix`, a thousand at a time."""
        found: Iterator[Any] = self._client.list_objects(
            self._config.bucket, prefix=name_prefix, recursive=True
        )
        while batch := await self._run("listing", lambda: list(islice(found, LIST_BATCH))):
            for item in batch:
                key = self._config.key_of(item.object_name or "")
                yield ObjectStat(key, item.size or 0, _seconds(item.last_modified))

    # --- multipart uploads ----------------------------------------------------------------------------
    # The SDK has these three calls for its own `put_object`, which reads the file in threads of its own
    # and cannot be cancelled. They are pinned with it, and the compliance suite uploads through them.

    async def begin_upload(self, name: str) -> str:
        """The id of a new multipart upload."""
        create = self._client._create_multipart_upload
        headers = {"Content-Type": "application/octet-stream"}
        upload_id: str = await self._run("beginning an upload", create, self._config.bucket, name, headers)
        return upload_id

    async def complete_upload(self, name: str, upload_id: str, etags: list[str]) -> None:
        """Join the parts, numbered from 1: the object is visible on return, whole."""
        parts = [Part(number, etag) for number, etag in enumerate(etags, 1)]
        complete = self._slow_client._complete_multipart_upload
        await self._run("completing an upload", complete, self._config.bucket, name, upload_id, parts)

    async def abort_upload(self, name: str, upload_id: str) -> None:
        """Forget an upload and its parts; one that is gone already is fine."""
        abort = self._client._abort_multipart_upload
        try:
            await self._run("aborting an upload", abort, self._config.bucket, name, upload_id)
        except StoreUnavailable as error:
            if "NoSuchUpload" not in error.message:
                raise

    async def incomplete_uploads(self, name_prefix: str) -> list[IncompleteUpload]:
        """The first thousand uploads under a prefix that were never finished."""
        found = await self._run(
            "listing uploads",
            lambda: self._client._list_multipart_uploads(self._config.bucket, prefix=name_prefix),
        )
        return [
            IncompleteUpload(each.object_name, each.upload_id or "", _seconds(each.initiated_time))
            for each in found.uploads
        ]

    # --- in threads -----------------------------------------------------------------------------------

    def _sdk(self, pool: urllib3.PoolManager) -> Minio:
        config = self._config
        return Minio(
            config.netloc,
            access_key=config.access_key,
            secret_key=config.secret_key,
            secure=config.secure,
            region=config.region,
            http_client=pool,
        )

    async def _run(self, what: str, function: Callable[..., R], *args: Any) -> R:
        try:
            return await self._threads.run(function, *args)
        except S3Error as error:
            status = getattr(error.response, "status", 0)
            raise as_error(what, status, error.code or "") from error
        except (ServerError, InvalidResponseError) as error:
            status = getattr(error, "status_code", 0) or getattr(error, "_code", 0)
            raise as_error(what, status, "") from error
        except (MinioException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            kind = type(error).__name__
            raise StoreUnavailable(f"the object store does not answer ({kind} at {what})") from error


def _pool(config: S3Config, read_seconds: float) -> urllib3.PoolManager:
    options: dict[str, Any] = {}
    if config.secure:
        options["ssl_context"] = tls_context(config)
    return urllib3.PoolManager(
        timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=read_seconds),
        retries=urllib3.Retry(
            total=TRIES - 1, backoff_factor=0.2, status_forcelist=[500, 502, 503, 504],
            allowed_methods=None, raise_on_status=False,
        ),
        maxsize=8,
        **options,
    )  # fmt: skip


def _seconds(at: datetime | None) -> float:
    return at.timestamp() if at is not None else 0.0
