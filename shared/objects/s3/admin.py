"""Operations of an S3 store through the MinIO SDK: the bucket itself, and listings.

The SDK blocks, so it runs in threads; its own time-outs (5 minutes, five tries) are replaced. Bytes of
objects never pass through here (http.py).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime
from itertools import islice
from typing import Any, TypeVar

import urllib3
from minio import Minio
from minio.error import InvalidResponseError, MinioException, S3Error, ServerError

from shared.errors.passing import StoreUnavailable
from shared.objects.port import ObjectStat
from shared.objects.s3.config import S3Config, tls_context
from shared.objects.s3.errors import as_error
from shared.process.threads import BoundedThreads

CONNECT_SECONDS = 2.0
READ_SECONDS = 8.0
TRIES = 2
LIST_BATCH = 1000

R = TypeVar("R")


class S3Admin:
    """The SDK's client for one bucket; `threads` is shared, its owner closes it."""

    def __init__(self, config: S3Config, threads: BoundedThreads) -> None:
        self._config = config
        self._threads = threads
        self._pool = _pool(config)
        self._client = Minio(
            config.netloc,
            access_key=config.access_key,
            secret_key=config.secret_key,
            secure=config.secure,
            region=config.region,
            http_client=self._pool,
        )

    def close(self) -> None:
        """Close idle connections."""
        self._pool.clear()

    async def make_bucket(self) -> None:
        """Make the bucket; one that is there already is fine."""
        try:
            await self._run("making the bucket", self._client.make_bucket, self._config.bucket)
        except StoreUnavailable as error:
            if "BucketAlready" not in error.message:
                raise

    async def objects(self, name_prefix: str, name_after: str = "") -> AsyncIterator[ObjectStat]:
        """All objects whose name in the bucket starts with `name_prefix` and is greater than `name_after`, in
        order, a thousand at a time."""
        found: Iterator[Any] = self._client.list_objects(
            self._config.bucket, prefix=name_prefix, recursive=True, start_after=name_after or None
        )
        while batch := await self._run("listing", lambda: list(islice(found, LIST_BATCH))):
            for item in batch:
                key = self._config.key_of(item.object_name or "")
                yield ObjectStat(key, item.size or 0, _seconds(item.last_modified))

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


def _pool(config: S3Config) -> urllib3.PoolManager:
    options: dict[str, Any] = {}
    if config.secure:
        options["ssl_context"] = tls_context(config)
    return urllib3.PoolManager(
        timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
        retries=urllib3.Retry(
            total=TRIES - 1, backoff_factor=0.2, status_forcelist=[500, 502, 503, 504],
            allowed_methods=None, raise_on_status=False,
        ),
        maxsize=8,
        **options,
    )  # fmt: skip


def _seconds(at: datetime | None) -> float:
    return at.timestamp() if at is not None else 0.0
