"""`SourceWatcher`: a change of `upstream_sources` reaches the cache and this process within a second.

The database notifies (trigger, LISTEN), and because a notification can be lost, all is read anew
after every reconnect and once a minute. The revision is then raised in the cache, which makes every
index page of an older revision a miss.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

import structlog

from shared.clients.postgres import Database
from shared.clients.postgres_listen import Listener
from shared.errors import OrchardError
from shared.sealing_box import SealingBox
from shared.sources import CHANNEL, SourceRepository, SourceSet

_log = structlog.get_logger(__name__)
_REREAD_SECONDS = 60.0
_RETRY_SECONDS = 0.5


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
        self._database = database
        self._repository = SourceRepository(database, box)
        self._cache = cache
        self._on_change = on_change
        self._current: dict[str, SourceSet | None] = dict.fromkeys(protocols)
        self._announced: dict[str, int] = {}
        self._stale: set[str] = set(self._current)
        self._wake = asyncio.Event()
        self._listener: Listener | None = None
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Starts watching; does not wait for the database."""
        self._listener = await self._database.listen([CHANNEL], self._notified, self._reconnected)
        self._task = asyncio.create_task(self._run())

    async def aclose(self) -> None:
        """Stops watching."""
        if self._listener is not None:
            await self._listener.aclose()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def current(self, protocol: str) -> SourceSet | None:
        """The sources as last read, or None if the database was never reached."""
        return self._current.get(protocol)

    @property
    def connected(self) -> bool:
        """Whether notifications arrive now."""
        return self._listener is not None and self._listener.connected

    def _notified(self, _channel: str, protocol: str) -> None:
        if protocol in self._current:
            self._stale.add(protocol)
            self._wake.set()

    def _reconnected(self) -> None:
        self._stale.update(self._current)
        self._wake.set()

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            for protocol in sorted(self._stale):
                self._stale.discard(protocol)  # before reading: a change meanwhile marks it again
                try:
                    await self._read(protocol)
                except OrchardError:
                    self._stale.add(protocol)  # a store is away: tried again soon
                except Exception:
                    _log.exception("upstream_sources_change_failed", protocol=protocol)
                    self._stale.add(protocol)
            try:
                async with asyncio.timeout(_RETRY_SECONDS if self._stale else _REREAD_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                self._stale.update(self._current)

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
        if self._announced.get(protocol) != found.revision:
            await self._on_change(found)
            self._announced[protocol] = found.revision
