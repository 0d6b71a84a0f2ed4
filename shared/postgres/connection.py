"""One connection of its own: for migrations, and for LISTEN (which a pool cannot hold).

PostgreSQL delivers notifications only to who is connected, so each (re)connection is reported: the owner
reads anew what it watches. A half-open connection is found by a regular `SELECT 1`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Any, TypeAlias

import asyncpg

from shared.errors import ConfigurationError, OrchardError
from shared.postgres.errors import translated
from shared.process.periodic import Backoff

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
    async def transaction(self, **options: Any) -> AsyncIterator[None]:
        """All or nothing of what runs inside. What is raised inside stays what it is: it may be of a file."""
        transaction = self._connection.transaction(**options)
        with translated():
            await transaction.start()
        try:
            yield
        except BaseException:
            with (
                contextlib.suppress(OrchardError),
                translated(),
            ):  # lost: it is undone, and the first error tells
                await transaction.rollback()
            raise
        with translated():
            await transaction.commit()

    def snapshot(self) -> AbstractAsyncContextManager[None]:
        """What is read inside is of one moment, whatever is written meanwhile."""
        return self.transaction(isolation="repeatable_read", readonly=True)

    async def copy_out(self, query: str, write: Callable[[bytes], Coroutine[Any, Any, None]]) -> int:
        """All rows of a query as COPY writes them (text), piece by piece; how many. What `write` raises is
        raised."""
        failed: list[BaseException] = []

        async def output(data: bytes) -> None:
            try:
                await write(data)
            except BaseException as error:
                failed.append(error)
                raise

        with _first(failed), translated():
            done = await self._connection.copy_from_query(query, output=output)
        return int(done.rpartition(" ")[2])

    async def copy_in(self, table: str, columns: Sequence[str], source: AsyncIterator[bytes]) -> int:
        """Rows in the form of `copy_out`; how many. What `source` raises is raised: nothing of it is in."""
        failed: list[BaseException] = []

        async def read() -> AsyncIterator[bytes]:
            try:
                async for data in source:
                    yield data
            except Exception as error:
                failed.append(error)
                raise

        with _first(failed), translated():
            done = await self._connection.copy_to_table(table, source=read(), columns=list(columns))
        return int(done.rpartition(" ")[2])


@contextmanager
def _first(failed: Sequence[BaseException]) -> Iterator[None]:
    """Raises what failed on our side of a COPY, in place of what the connection makes of it."""
    try:
        yield
    except Exception:
        if failed:
            raise failed[0] from None
        raise


@asynccontextmanager
async def session(url: str) -> AsyncIterator[Session]:
    """A `Session` that is closed at the end. Raises `DatabaseUnavailable`, `ConfigurationError`."""
    connection = await connect(url)
    try:
        yield Session(connection)
    finally:
        connection.terminate()


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
        backoff = Backoff(_FIRST_RETRY_SECONDS, _LAST_RETRY_SECONDS)
        while True:
            try:
                connection = await connect(self._url, command_timeout=_KEEPALIVE_SECONDS)
            except OrchardError:
                await asyncio.sleep(backoff.pause())
                continue
            backoff.reset()
            try:
                await self._listen(connection)
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                pass  # lost: connect again
            finally:
                self.connected = False
                connection.terminate()
            await asyncio.sleep(backoff.pause())

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
