"""LISTEN on a connection of its own that comes back by itself.

PostgreSQL delivers notifications only to who is connected, so each (re)connection is reported: the
owner reads anew what it watches. A half-open connection is found by a regular `SELECT 1`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import asyncpg

from shared.clients.postgres_connection import Connection, connect
from shared.errors import OrchardError

OnNotify = Callable[[str, str], None]
OnReconnect = Callable[[], None]

_KEEPALIVE_SECONDS = 2.0
_FIRST_RETRY_SECONDS = 0.1
_LAST_RETRY_SECONDS = 1.0


class Listener:
    """Started by `Database.listen`; the callbacks run in the event loop and must not block."""

    def __init__(
        self, url: str, channels: Sequence[str], on_notify: OnNotify, on_reconnect: OnReconnect
    ) -> None:
        self._url = url
        self._channels = tuple(channels)
        self._on_notify = on_notify
        self._on_reconnect = on_reconnect
        self._task: asyncio.Task[None] | None = None
        self.connected = False

    def start(self) -> None:
        """Begins to connect in the background."""
        self._task = asyncio.create_task(self._run())

    async def aclose(self) -> None:
        """Ends the subscription."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _run(self) -> None:
        pause = _FIRST_RETRY_SECONDS
        while True:
            try:
                connection = await connect(self._url, command_timeout=_KEEPALIVE_SECONDS)
            except OrchardError:
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LAST_RETRY_SECONDS)
                continue
            pause = _FIRST_RETRY_SECONDS
            try:
                await self._listen(connection)
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                pass  # lost: connect again
            finally:
                self.connected = False
                connection.terminate()
            await asyncio.sleep(pause)

    async def _listen(self, connection: Connection) -> None:
        closed = asyncio.Event()
        connection.add_termination_listener(lambda _: closed.set())
        for channel in self._channels:
            await connection.add_listener(channel, self._notified)
        self.connected = True
        self._on_reconnect()
        while not closed.is_set():
            try:
                async with asyncio.timeout(_KEEPALIVE_SECONDS):
                    await closed.wait()
            except TimeoutError:
                await connection.execute("SELECT 1")

    def _notified(self, _connection: Any, _pid: int, channel: str, payload: object) -> None:
        self._on_notify(channel, str(payload))
