"""`RowWatcher`: a change of some rows reaches this process within a second.

The database notifies (a trigger and LISTEN), and because a notification can be lost, all is read anew
after every reconnect and once a minute.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from shared.errors import OrchardError
from shared.postgres.connection import Listener
from shared.postgres.database import Database
from shared.process.periodic import Every
from shared.telemetry.logs import get_logger

log = get_logger()

REREAD_SECONDS = 60.0
RETRY_SECONDS = 0.5


class RowWatcher:
    """Has rows read when they have changed, one key at a time. The caller opens and closes it."""

    def __init__(
        self,
        database: Database,
        channel: str,
        read: Callable[[str], Awaitable[None]],
        *,
        keys: Iterable[str] = ("",),
    ) -> None:
        """`read(key)` is awaited at first, and whenever the rows of `key` may have changed. If it raises, it
        is called again soon. `keys` are the payloads of the channel's notifications."""
        self._database = database
        self._channel = channel
        self._read = read
        self._keys = frozenset(keys)
        self._stale: set[str] = set()
        self._reread_at = 0.0  # by the loop's clock
        self._listener: Listener | None = None
        self._turns = Every(REREAD_SECONDS, self._turn, name=f"{channel} watcher", first_seconds=0)

    async def open(self) -> None:
        """Starts watching; does not wait for the database."""
        self._listener = await self._database.listen([self._channel], self._notified, self._reconnected)
        await self._turns.open()

    async def aclose(self) -> None:
        """Stops watching."""
        if self._listener is not None:
            await self._listener.aclose()
        await self._turns.aclose()

    @property
    def connected(self) -> bool:
        """Whether notifications arrive now."""
        return self._listener is not None and self._listener.connected

    def _notified(self, _channel: str, key: str) -> None:
        if key in self._keys:
            self._stale.add(key)
            self._turns.wake()

    def _reconnected(self) -> None:
        self._stale.update(self._keys)
        self._turns.wake()

    async def _turn(self) -> float:
        now = asyncio.get_running_loop().time()
        if now >= self._reread_at:
            self._stale.update(self._keys)
            self._reread_at = now + REREAD_SECONDS
        for key in sorted(self._stale):
            self._stale.discard(key)  # before reading: a change meanwhile marks it again
            try:
                await self._read(key)
            except OrchardError as error:  # a store is away
                log.debug("rows_not_read", channel=self._channel, key=key, code=error.code)
                self._stale.add(key)
            except Exception:  # or a change would not be seen before the next one
                log.exception("rows_change_failed", channel=self._channel, key=key)
                self._stale.add(key)
        return RETRY_SECONDS if self._stale else max(0.0, self._reread_at - now)
