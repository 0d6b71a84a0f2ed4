"""One connection of its own: for LISTEN (which a pool cannot hold) and for migrations."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import asyncpg

from shared.clients.postgres_errors import translated
from shared.errors import ConfigurationError

CONNECT_TIMEOUT_SECONDS = 1.5
SERVER_SETTINGS = {"application_name": "orchard", "jit": "off"}  # jit costs more than our statements take

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


def check_url(url: str) -> str:
    """The URL itself. Raises `ConfigurationError` if it is not a PostgreSQL address."""
    if not url.startswith(("postgres://", "postgresql://")):
        raise ConfigurationError("ORCHARD_DATABASE_URL: must start with postgresql://")
    return url


async def connect(
    url: str, *, timeout: float = CONNECT_TIMEOUT_SECONDS, command_timeout: float | None = None
) -> Connection:
    """A new connection. `timeout` (seconds) is asyncpg's own: it ends the wait on a frozen server too.

    Raises `DatabaseUnavailable`, `ConfigurationError`.
    """
    with translated():
        return await asyncpg.connect(
            check_url(url),
            timeout=timeout,
            command_timeout=command_timeout,
            server_settings=SERVER_SETTINGS,
        )


class Session:
    """A connection for scripts: several statements, transactions, no time limit per statement."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def fetch(self, query: str, *args: Any) -> list[asyncpg.Record]:
        """All rows of one statement. Raises the catalogue's errors."""
        with translated():
            return await self._connection.fetch(query, *args)

    async def script(self, sql: str) -> None:
        """Runs statements separated by semicolons. Raises the catalogue's errors."""
        with translated():
            await self._connection.execute(sql)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """All or nothing of what runs inside."""
        with translated():
            async with self._connection.transaction():
                yield


@asynccontextmanager
async def session(url: str) -> AsyncIterator[Session]:
    """A `Session` that is closed at the end. Raises `DatabaseUnavailable`, `ConfigurationError`."""
    connection = await connect(url)
    try:
        yield Session(connection)
    finally:
        connection.terminate()
