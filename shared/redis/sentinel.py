"""The current master of a Redis role: asked of Sentinel before each connection, never cached.

Every connection of a role is made here, pooled ones, lanes, subscriptions and blocking ones alike, so all
of them follow a failover by reconnecting. Sentinel itself closes the connections of a master that it
demotes; one that was cut off meanwhile shows by its role or by refusing a write.
https://redis.io/docs/latest/develop/reference/sentinel-clients/ (the protocol that is followed here)
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from redis.asyncio.connection import Connection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError, RedisError, ResponseError

from shared.telemetry.metrics import REDIS_CONNECTS

ASK_SECONDS = 0.15  # of one Sentinel; the next is asked then
DEFAULT_PORT = 26379

Address = tuple[str, int]


def parse_sentinel(text: str, default_port: int = DEFAULT_PORT) -> Address:
    """Host and port of `host[:port]`, an IPv6 address in brackets. Raises `ValueError`."""
    host, _, port = text.rpartition(":") if not text.endswith("]") else (text, "", "")
    if not host:
        host, port = text, ""
    if not host or (":" in host and not (host.startswith("[") and host.endswith("]"))):
        raise ValueError(text)
    number = int(port) if port else default_port
    if not 0 < number < 65536:
        raise ValueError(text)
    return host.strip("[]"), number


class Sentinels:
    """The Sentinels that watch one master. Concurrent callers share one question."""

    def __init__(self, addresses: Sequence[Address], master: str, password: str = "") -> None:
        self._addresses = list(addresses)
        self._password = password
        self._asking: asyncio.Task[Address] | None = None
        self.master = master

    async def find_master(self) -> Address:
        """Where the master is. Raises redis-py's `ConnectionError` when no Sentinel tells."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.get_running_loop().create_task(self._ask_all())
            self._asking.add_done_callback(lambda asked: asked.cancelled() or asked.exception())
        return await asyncio.shield(self._asking)  # one caller's deadline must not end it for the others

    async def _ask_all(self) -> Address:
        for address in tuple(self._addresses):
            try:
                async with asyncio.timeout(ASK_SECONDS):
                    found = await self._ask(address)
            except (RedisError, OSError, TimeoutError):
                continue
            if found is not None:
                # Asked first from now on: the others may hang.
                self._addresses.remove(address)
                self._addresses.insert(0, address)
                return found
        raise RedisConnectionError(f"no Sentinel tells where the master {self.master} is")

    async def _ask(self, address: Address) -> Address | None:
        connection = Connection(
            host=address[0], port=address[1], password=self._password or None, lib_name=None, lib_version=None
        )
        try:
            await connection.connect()  # type: ignore[no-untyped-call]
            await connection.send_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.master)
            answer = await connection.read_response()
            return None if answer is None else (answer[0].decode(), int(answer[1]))
        finally:
            await connection.disconnect(nowait=True)


class RoleConnection(Connection):
    """A connection of one Redis role: counted, and with `sentinels` always to the master of the moment."""

    def __init__(self, *, role: str, sentinels: Sentinels | None = None, **options: Any) -> None:
        super().__init__(**options)
        self._sentinels = sentinels
        self._count = REDIS_CONNECTS.labels(role).inc

    async def _connect(self) -> None:
        if self._sentinels is not None:
            self.host, self.port = await self._sentinels.find_master()
        await super()._connect()  # type: ignore[no-untyped-call]

    async def connect(self) -> None:
        """Connect and authenticate, or leave nothing open: redis-py keeps a connection whose handshake was
        cancelled as connected, and the replies to it would be read as those of what is sent next."""
        try:
            await super().connect()  # type: ignore[no-untyped-call]
        except BaseException:
            await self.disconnect(nowait=True)
            raise

    async def on_connect(self) -> None:
        """Authenticate; with Sentinel make sure that this is a master."""
        await super().on_connect()
        self._count()
        if self._sentinels is not None:
            await self.send_command("ROLE")
            role = await self.read_response()
            if role[0] != b"master":
                raise RedisConnectionError(f"{self.host}:{self.port} is no master")

    async def read_response(self, *args: Any, **options: Any) -> Any:
        """The next reply. A refused write shows a master that was demoted: as if the connection were lost,
        so that the caller's retry asks Sentinel anew."""
        try:
            return await super().read_response(*args, **options)
        except ResponseError as error:
            # Redis 6 tells of a script's refused write within the text, later ones by the code.
            demoted = isinstance(error, ReadOnlyError) or "READONLY" in str(error)
            if self._sentinels is not None and demoted:
                await self.disconnect(nowait=True)
                raise RedisConnectionError("the master was demoted") from error
            raise
