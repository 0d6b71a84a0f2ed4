"""Server-assisted client-side caching: be notified at once which keys changed (redis.io, CLIENT TRACKING).

Broadcast mode: Redis announces every change below a prefix and remembers nothing per client. One
RESP3 connection carries commands and messages: it cannot be half alive, as a RESP2 redirect to a
second connection can. Of a cluster every master is followed, or none: each tells of its own keys.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from hiredis import PushNotification
from redis.asyncio.connection import Connection
from redis.exceptions import RedisError

from shared.redis.client import DEADLINE_SECONDS, RedisClient

PING_SECONDS = 1.0
SILENCE_SECONDS = 2.0  # an unanswered PING older than this: we no longer know what changed
RECONNECT_SECONDS = 0.1
_MIN_READ_SECONDS = 0.05  # after a stall of our own loop, first read what has arrived


class InvalidationStream:
    """Follows the changes below `prefix` until closed; reconnects by itself.

    Callbacks run in the event loop, in order, and must not wait: `on_change(keys)`,
    `on_flush()` when everything is gone, `on_connected(bool)` at each change of `connected`.
    Changes are announced only for what was read after `on_connected(True)`.
    """

    def __init__(
        self,
        redis: RedisClient,
        *,
        prefix: str,
        on_change: Callable[[list[str]], None],
        on_flush: Callable[[], None],
        on_connected: Callable[[bool], None],
    ) -> None:
        self.connected = False
        self._redis = redis
        self._prefix = prefix
        self._on_change = on_change
        self._on_flush = on_flush
        self._on_connected = on_connected
        self._task: asyncio.Task[None] | None = None
        self._attempted = asyncio.Event()

    async def open(self) -> None:
        """Start following; returns after the first attempt, successful or not."""
        self._task = asyncio.get_running_loop().create_task(self._run())
        await self._attempted.wait()

    async def aclose(self) -> None:
        """Stop following."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _run(self) -> None:
        while True:
            connections: list[Connection] = []
            try:
                async with asyncio.timeout(DEADLINE_SECONDS):
                    connections = [connect() for connect in await self._redis.masters()]
                    for connection in connections:
                        await self._start(connection)
                self._set_connected(True)
                self._attempted.set()
                await self._follow_all(connections)
            except (RedisError, OSError, TimeoutError):
                pass  # `connected` says so; tried again below
            finally:
                self._set_connected(False)
                self._attempted.set()
                for connection in connections:
                    await connection.disconnect(nowait=True)
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _start(self, connection: Connection) -> None:
        await connection.connect()  # type: ignore[no-untyped-call]
        await connection.send_command("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", self._prefix)
        await connection.read_response()

    async def _follow_all(self, connections: list[Connection]) -> None:
        """Until one of them fails, or keys are written at other servers by now."""
        following = [asyncio.create_task(self._follow(each)) for each in connections]
        following.append(asyncio.create_task(self._redis.moved()))
        try:
            done, _ = await asyncio.wait(following, return_when=asyncio.FIRST_COMPLETED)
            for each in done:
                each.result()
        finally:
            for each in following:
                each.cancel()
            await asyncio.gather(*following, return_exceptions=True)

    async def _follow(self, connection: Connection) -> None:
        clock = asyncio.get_running_loop().time
        unanswered: deque[float] = deque()
        next_ping = clock()
        while True:
            if clock() >= next_ping:
                await connection.send_command("PING")
                unanswered.append(clock())
                next_ping = clock() + PING_SECONDS
            wait = max(next_ping - clock(), _MIN_READ_SECONDS)
            message = await connection.read_response(timeout=wait)
            if message is None:  # nothing came
                if unanswered and clock() - unanswered[0] >= SILENCE_SECONDS:
                    raise TimeoutError("the tracking connection is silent")
            elif isinstance(message, PushNotification):
                self._tell(message)
            elif unanswered:
                unanswered.popleft()

    def _tell(self, message: list[Any]) -> None:
        if message[0] != b"invalidate":
            return
        if message[1] is None:
            self._on_flush()
        else:
            plain = self._redis.plain_name
            self._on_change([plain(key.decode("utf-8", "replace")) for key in message[1]])

    def _set_connected(self, connected: bool) -> None:
        if connected != self.connected:
            self.connected = connected
            self._on_connected(connected)
