"""Core metadata that the upstream advertises but does not deliver: read out of the wheel instead.

pip and uv give up on an install when an advertised metadata file is missing (PEP 658), so Orchard
never answers 404 for one: the wheel it belongs to holds the same bytes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from services.fetcher.files.digests import Digests
from services.fetcher.files.stored import stored_path
from shared.errors import UpstreamInvalid
from shared.models import FileEntry, StoredFile
from shared.objects.port import ObjectStore
from shared.process.threads import BoundedThreads
from shared.protocols.base import PackageProxyBase

READ_SECONDS = 20.0

FetchParent = Callable[[str], Awaitable[StoredFile]]
"""The facts of the file that metadata belongs to, by its name; fetched if it is not stored yet."""


class MetadataFallback:
    """Reads metadata out of stored wheels."""

    def __init__(self, *, objects: ObjectStore, threads: BoundedThreads, folder: Path) -> None:
        self._objects = objects
        self._threads = threads
        self._folder = folder

    async def read(
        self,
        protocol: PackageProxyBase,
        entry: FileEntry,
        parent: str,
        fetch_parent: FetchParent,
        promised_sha256: str,
        *,
        index_stands: bool,
    ) -> bytes:
        """The raw metadata, equal to what the index advertises; if the index is wrong about the file as
        well, the file's own.

        Raises `UpstreamInvalid` if the file holds none, `DigestMismatch` if it holds another, and
        whatever fetching the file raises.
        """
        facts = await fetch_parent(parent)
        async with stored_path(self._objects, self._folder, facts) as path:
            try:
                async with asyncio.timeout(READ_SECONDS):
                    raw = await self._threads.run(_extract, protocol, parent, path, facts.size_bytes)
            except TimeoutError:
                raise UpstreamInvalid(f"{parent}: its metadata takes too long to read") from None
        if raw is None:
            raise UpstreamInvalid(f"{parent} holds no core metadata")
        digests = Digests(entry.hashes if index_stands else {}, promised_sha256)
        digests.update(raw)
        digests.verify(entry.filename)
        return raw


def _extract(protocol: PackageProxyBase, filename: str, path: Path, size_bytes: int) -> bytes | None:
    with path.open("rb") as file:
        return protocol.archive.extract(filename, file, size_bytes)[1]
