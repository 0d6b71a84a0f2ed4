"""`SourceWatcher`: a change of `upstream_sources` reaches the cache and this process within a second.

The revision of what was read is raised in the cache, which makes every index page of an older revision
a miss.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

import structlog

from services.fetcher.sources.repository import CHANNEL, SourceRepository, SourceSet
from shared.postgres.database import Database
from shared.postgres.watcher import RowWatcher
from shared.sources.box import SealingBox

_log = structlog.get_logger(__name__)

FIRST_SECONDS = 2.0  # for the first reading; a fetcher starts without a database, too


class RevisionCache(Protocol):
    """The part of `CacheService` that the watcher needs."""

    async def raise_revision(self, protocol: str, revision: int) -> int:
        """Sets the protocol's revision unless a higher one is there; the one that holds now."""
        ...


class SourceWatcher:
    """Keeps the sources of some protocols current. The caller opens and closes it."""

    def __init__(
        self,
        database: Database,
        cache: RevisionCache,
        on_change: Callable[[SourceSet], Awaitable[None]],
        *,
        protocols: Iterable[str],
        box: SealingBox | None = None,
    ) -> None:
        """`on_change` is called with the first set read and with every set of another revision; the
        cache has the revision by then. If it raises, it is called again."""
        self._repository = SourceRepository(database, box)
        self._cache = cache
        self._on_change = on_change
        self._current: dict[str, SourceSet | None] = dict.fromkeys(protocols)
        self._announced: dict[str, int] = {}
        self._all_read = asyncio.Event()
        self._rows = RowWatcher(database, CHANNEL, self._read, keys=self._current)

    async def open(self) -> None:
        """Starts watching. Waits a moment for the first reading: a job that began before it would fail."""
        await self._rows.open()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._all_read.wait(), FIRST_SECONDS)

    async def aclose(self) -> None:
        """Stops watching."""
        await self._rows.aclose()

    def current(self, protocol: str) -> SourceSet | None:
        """The sources as last read, or None if the database was never reached."""
        return self._current.get(protocol)

    def all(self) -> list[SourceSet]:
        """The sources of every protocol that were read."""
        return [found for found in self._current.values() if found is not None]

    @property
    def connected(self) -> bool:
        """Whether notifications arrive now."""
        return self._rows.connected

    async def _read(self, protocol: str) -> None:
        found = await self._repository.load(protocol)
        # At every read, not only on a change: the cache may have come back empty.
        known = await self._cache.raise_revision(protocol, found.revision)
        if known > found.revision:
            # Another process read newer rows since, or the rows went back (restored from a backup): then
            # they are newer than what was made before, and must be numbered so.
            if await self._repository.lift(protocol, known):
                _log.warning("source_revision_lifted", protocol=protocol, found=found.revision, known=known)
            found = await self._repository.load(protocol)
            await self._cache.raise_revision(protocol, found.revision)
        self._current[protocol] = found
        if None not in self._current.values():
            self._all_read.set()
        if self._announced.get(protocol) != found.revision:
            await self._on_change(found)
            self._announced[protocol] = found.revision
