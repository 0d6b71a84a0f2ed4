"""From a verified download to a sealed artifact: object → row → cache. A row implies its object.

Before it is stored, the protocol may check the finished file itself (`Archive.check_file`).
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from typing import IO, BinaryIO, cast
from urllib.parse import urlsplit

from services.fetcher.sources.mutations import report_mutation
from shared.cache.keys import Category
from shared.errors import OrchardError, UpstreamInvalid
from shared.errors.passing import CacheUnavailable
from shared.models import CachedUrl, FileEntry, FileName, StoredFile
from shared.objects.verify import Verifier
from shared.postgres.batches import BatchWriter
from shared.process.threads import BoundedThreads
from shared.protocols.base import PackageProxyBase
from shared.queue.jobs import FetchArtifact
from shared.stores import Stores
from shared.telemetry.logs import get_logger

log = get_logger()

CHECK_SECONDS = 20.0
ROW_SECONDS = 1e-6  # two rows of one name are made at least so far apart


async def check(
    protocol: PackageProxyBase,
    entry: FileEntry,
    open_file: Callable[[], BinaryIO],
    size_bytes: int,
    threads: BoundedThreads,
    *,
    seconds: float = CHECK_SECONDS,
) -> None:
    """Raises `UpstreamInvalid` for a file that its protocol refuses, or takes too long to check."""
    if not protocol.archive.checks_file(entry):
        return

    def look() -> None:
        with open_file() as file:
            timed = _Timed(file, entry.filename, time.monotonic() + seconds)
            protocol.archive.check_file(entry, cast(BinaryIO, timed), size_bytes)

    try:
        await threads.run(look)
    except OrchardError as error:
        log.warning("file_refused", protocol=protocol.name, filename=entry.filename, reason=error.message)
        raise
    except Exception as error:
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno):
            raise  # our own lack
        # What parsers raise for hostile bytes.
        log.warning("file_refused", protocol=protocol.name, filename=entry.filename, reason=repr(error))
        raise UpstreamInvalid(f"{entry.filename} cannot be read: {type(error).__name__}") from error


class _Timed(io.RawIOBase):
    """A file whose reads raise after a while: a thread cannot be stopped from outside."""

    def __init__(self, file: IO[bytes], filename: str, deadline: float) -> None:
        self._file = file
        self._filename = filename
        self._deadline = deadline

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        if time.monotonic() > self._deadline:
            raise UpstreamInvalid(f"{self._filename} takes too long to check")
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True


class Sealer:
    """Stores rows in batches and facts in the cache."""

    def __init__(
        self, stores: Stores, *, rows: BatchWriter[CachedUrl, StoredFile], verifier: Verifier
    ) -> None:
        self._rows = rows
        self._artifacts = stores.artifacts
        self._objects = stores.objects
        self.cache = stores.cache
        self._verifier = verifier

    async def seal(self, url: CachedUrl) -> StoredFile:
        """What stands under the name: this, or what was there first.

        The object must be stored already. Raises `DatabaseUnavailable`; a cache that is away is no
        failure, for its content is found again in the row.
        """
        standing = await self._rows.add(url)
        if url.role == "metadata" and standing.provisional:
            standing = await self._artifacts.pin_metadata(url)
            await self._forget(url.file, standing.created_at - ROW_SECONDS)
        if standing.sha256 != url.stored.sha256:
            await self._report(standing, url)
        await self.cache.write_facts(url.file, standing)
        if url.role == "file":
            await self._forget_list(url.file)
        return standing

    async def _report(self, standing: StoredFile, url: CachedUrl) -> None:
        """Other bytes came than stand under the name."""
        file, told = url.file, {"sealed_sha256": standing.sha256, "upstream_sha256": url.stored.sha256}
        if url.role == "provisional" or standing.provisional:  # no change upstream: one of the two is wrong
            log.warning("metadata_differs", project=file.project, filename=file.filename, **told)
            await self._artifacts.record_event(
                "metadata_differs", file.protocol, file.project, file.filename, told
            )
        else:
            await report_mutation(self._artifacts, file.protocol, file.project, file.filename, **told)

    async def drop_provisional(self, file: FileName) -> None:
        """Take away provisional metadata whose object is lost: other bytes may come now."""
        created_at = await self._artifacts.drop_provisional(file)
        if created_at:
            await self._forget(file, created_at)

    async def _forget(self, file: FileName, created_at: float) -> None:
        """What stood in a row of that time must not come back from whoever still has it."""
        try:
            await self.cache.fence_facts(file, created_at)
        except CacheUnavailable as error:
            log.info("facts_not_cached", error=error.message)

    async def _forget_list(self, file: FileName) -> None:
        """The list of a package's stored files is longer now; a lost word of it costs some minutes."""
        try:
            await self.cache.delete(Category.PACKAGE_VERSIONS, file.protocol, file.project)
        except CacheUnavailable as error:
            log.info("list_not_forgotten", error=error.message)

    async def is_intact(self, facts: StoredFile) -> bool:
        """Whether the object behind a row is there, with the sealed bytes. Raises `StoreUnavailable`.

        Hashed each time: a job for a file that has a row means that its object was found damaged.
        """
        return await self._verifier.is_intact(facts.object_key, facts.size_bytes, anew=True)

    async def set_aside(self, job: FetchArtifact, facts: StoredFile) -> None:
        """Take a damaged object away and tell of it; one that was evicted or lost is nothing to tell."""
        found = await self._objects.stat(facts.object_key)
        await self._objects.set_aside(facts.object_key)
        if found is None:
            return
        log.warning("object_set_aside", key=facts.object_key, size_bytes=found.size_bytes)
        detail = {"sha256": facts.sha256, "size_bytes": facts.size_bytes, "found_bytes": found.size_bytes}
        await self._artifacts.record_event("object_decayed", job.protocol, job.project, job.filename, detail)


def public_url(url: str) -> str:
    """An upstream address as it may stand in a row: without credentials, query and fragment."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
