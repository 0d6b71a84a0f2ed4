"""`Database`: pooled single statements against PostgreSQL that always end in bounded time.

A server that is away or frozen gives `DatabaseUnavailable` within about two seconds, never a hang:
asyncio's own timeouts do not end a wait on a frozen server (asyncpg first sends a cancel request and
waits for it), so every command carries asyncpg's `timeout` and a connection that overran it is
terminated, not returned. Once a probe has found the server gone, calls fail at once until it is back.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias, TypeVar

import asyncpg

from shared.errors import OrchardError
from shared.errors.passing import DatabaseUnavailable
from shared.postgres.connection import (
    CONNECT_TIMEOUT_SECONDS,
    SERVER_SETTINGS,
    Listener,
    OnNotify,
    OnReconnect,
    check_url,
    connect,
)
from shared.postgres.errors import refuse_unstorable, translate, translated
from shared.postgres.slots import Slots
from shared.process.bounded import Bounded
from shared.process.circuit import Circuit
from shared.settings import Settings
from shared.telemetry.metrics import (
    DATABASE_CONNECTIONS,
    DATABASE_ERRORS,
    DATABASE_STATEMENT_DURATION,
    DATABASE_STATEMENTS,
    DATABASE_WAIT,
    DATABASE_WAITING,
)

T = TypeVar("T")
Row: TypeAlias = asyncpg.Record  # subscriptable by column name
Fetch: TypeAlias = Callable[..., Awaitable[list[Row]]]
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
PooledConnection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"

_FRESH_SECONDS = 1.0  # a connection that answered within this is not pinged again
_SLOW_SECONDS = 1.0  # a statement that takes longer starts a probe of the server
_PROBE_TIMEOUT_SECONDS = 0.75
_PROBE_PAUSE_SECONDS = 0.25


async def _keep_session_state(_: Any) -> None:
    """In place of asyncpg's reset on release (one round trip): our statements leave no state behind."""


class Database:
    """Statements over a pool. The caller opens and closes it."""

    def __init__(
        self,
        url: str,
        *,
        max_size: int = 50,
        min_size: int = 1,
        acquire_timeout: float = 30.0,
        pre_ping: bool = False,
        command_timeout: float = 2.0,
    ) -> None:
        """`acquire_timeout` (seconds) bounds the wait for a free connection, as does
        `postgres_slots.deadline`; `command_timeout` (seconds) each statement. Raises
        `ConfigurationError` for a bad URL."""
        self._url = check_url(url)
        self._max_size = max_size
        self._slots = Slots(max_size, acquire_timeout)
        self._min_size = min(min_size, max_size)
        self._pre_ping = pre_ping
        self._used_at = Bounded[int, float](4 * max_size)  # by process id of the server
        self._command_timeout = command_timeout
        self._pool: Pool | None = None
        # Silent once may be a busy machine, twice is a frozen server.
        self._circuit = Circuit(
            self._probe,
            name="postgres",
            silences=2,
            pause_seconds=_PROBE_PAUSE_SECONDS,
            on_change=self._changed,
        )
        self._warm: asyncio.Task[None] | None = None
        self.statements = 0

    @classmethod
    def from_settings(cls, settings: Settings) -> Database:
        """With ORCHARD_DATABASE_*. Raises `ConfigurationError`."""
        return cls(
            settings.database_url,
            max_size=settings.database_max_connections,
            acquire_timeout=settings.database_pool_timeout,
            pre_ping=settings.database_pool_pre_ping,
        )

    async def open(self) -> None:
        """Makes the pool. Does not wait for the server: a service is ready without it."""
        self._pool = await self._new_pool()
        DATABASE_CONNECTIONS.labels("in_use").set_function(lambda: self.active)
        DATABASE_CONNECTIONS.labels("idle").set_function(lambda: self.idle)
        DATABASE_CONNECTIONS.labels("max").set(self._max_size)
        DATABASE_WAITING.set_function(lambda: self._slots.waiting)
        self._warm = asyncio.create_task(self._connect_first())

    async def _new_pool(self) -> Pool:
        milliseconds = str(int(self._command_timeout * 1000))
        pool = asyncpg.create_pool(
            self._url,
            min_size=0,  # asyncpg would connect at once and fail the start
            max_size=self._max_size,
            timeout=CONNECT_TIMEOUT_SECONDS,
            command_timeout=self._command_timeout,
            reset=_keep_session_state,
            # The server gives up as well: a terminated client does not stop a waiting statement.
            server_settings=SERVER_SETTINGS | {"statement_timeout": milliseconds},
        )
        with translated():
            return await pool

    async def aclose(self) -> None:
        """Ends waiting calls and closes all connections; bounded even if the server is frozen."""
        if self._warm is not None:
            self._warm.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._warm
        await self._circuit.aclose()
        self._slots.fail_waiting("the database client is closing")
        pool, self._pool = self._pool, None
        if pool is None:
            return
        try:
            async with asyncio.timeout(2.0):
                await pool.close()
        except (TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            pool.terminate()

    # --- statements -----------------------------------------------------------------------------

    async def fetch(self, query: str, *args: Any) -> list[Row]:
        """All rows. Raises `DatabaseUnavailable` (passing) or `InvalidData` (the values' fault)."""
        return await self._run(args, lambda connection: connection.fetch(query, *args))

    async def fetchrow(self, query: str, *args: Any) -> Row | None:
        """The first row or None. Raises as `fetch`."""
        return await self._run(args, lambda connection: connection.fetchrow(query, *args))

    async def execute(self, query: str, *args: Any) -> str:
        """The command tag ("DELETE 1"). Raises as `fetch`."""
        return await self._run(args, lambda connection: connection.execute(query, *args))

    async def sharing(self, lock: int, call: Callable[[Fetch], Awaitable[T]]) -> T | None:
        """`call`, with statements of the one connection that meanwhile shares this advisory lock; None, and
        no call: somebody has the lock alone. `call` runs no other statement: there may be no connection for
        one."""

        async def held(connection: PooledConnection) -> T | None:
            async with connection.transaction():
                if not await connection.fetchval("SELECT pg_try_advisory_xact_lock_shared($1)", lock):
                    return None
                return await call(connection.fetch)

        return await self._run((), held)

    async def alone(self, lock: int, call: Callable[[Fetch], Awaitable[T]]) -> T:
        """The same while nobody shares the lock: those that do are waited for."""

        async def held(connection: PooledConnection) -> T:
            async with connection.transaction():
                await connection.execute("SELECT pg_advisory_xact_lock($1)", lock)
                return await call(connection.fetch)

        return await self._run((), held)

    async def ping(self) -> float:
        """Seconds that a `SELECT 1` took. Raises `DatabaseUnavailable`. Not counted as a statement."""
        started = time.perf_counter()
        await self._with_connection(lambda connection: connection.execute("SELECT 1"))
        return time.perf_counter() - started

    async def listen(
        self, channels: Sequence[str], on_notify: OnNotify, on_reconnect: OnReconnect
    ) -> Listener:
        """Subscribes on a connection of its own, at once or as soon as the server is there.

        `on_notify(channel, payload)`; `on_reconnect()` after every (re)connection, the first too:
        what was notified meanwhile is lost, so read anew. The caller closes the listener.
        """
        listener = Listener(self._url, channels, on_notify, on_reconnect)
        listener.start()
        return listener

    # --- figures for health ---------------------------------------------------------------------

    @property
    def active(self) -> int:
        """Connections in use now."""
        return self._slots.active

    @property
    def idle(self) -> int:
        """Open connections that no statement uses."""
        return self._pool.get_idle_size() if self._pool is not None else 0

    @property
    def max(self) -> int:
        """The most connections the pool may hold."""
        return self._max_size

    @property
    def available(self) -> bool:
        """False while a probe finds no server."""
        return not self._circuit.is_open

    # --- one statement ----------------------------------------------------------------------------

    async def _run(self, args: Sequence[Any], call: Callable[[PooledConnection], Awaitable[T]]) -> T:
        refuse_unstorable(args)
        self.statements += 1
        DATABASE_STATEMENTS.inc()
        try:
            return await self._with_connection(call)
        except OrchardError as error:
            DATABASE_ERRORS.labels(error.code).inc()
            raise

    async def _with_connection(self, call: Callable[[PooledConnection], Awaitable[T]]) -> T:
        if self._circuit.is_open:
            raise DatabaseUnavailable("PostgreSQL does not answer")
        asked = time.perf_counter()
        await self._slots.take()
        try:
            pool = self._pool
            if pool is None:
                raise DatabaseUnavailable("the database client is not open")
            connection = await self._acquire(pool)
            started = time.perf_counter()
            DATABASE_WAIT.observe(started - asked)
            slow = asyncio.get_running_loop().call_later(_SLOW_SECONDS, self._suspect)
            try:
                result = await call(connection)
                self._used_at.put(connection.get_server_pid(), time.monotonic())
                return result
            except asyncio.CancelledError:
                connection.terminate()  # asyncpg would wait for a cancel request, perhaps for ever
                raise
            except Exception as error:
                ours = self._failed(connection, error)
                if ours is None:
                    raise
                raise ours from error
            finally:
                slow.cancel()
                DATABASE_STATEMENT_DURATION.observe(time.perf_counter() - started)
                await pool.release(connection)
        finally:
            self._slots.free()

    async def _acquire(self, pool: Pool) -> PooledConnection:
        try:
            connection = await pool.acquire(timeout=CONNECT_TIMEOUT_SECONDS)
            if not self._pre_ping or self._just_used(connection):
                return connection
            try:
                await connection.execute("SELECT 1", timeout=CONNECT_TIMEOUT_SECONDS / 3)
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                connection.terminate()  # it went stale while idle: one new connection instead
                await pool.release(connection)
                connection = await pool.acquire(timeout=CONNECT_TIMEOUT_SECONDS)
            return connection
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            self._suspect()
            raise translate(error) or error from error

    def _just_used(self, connection: PooledConnection) -> bool:
        """Answered a moment ago: asking again would double the round trips of a burst."""
        used_at = self._used_at.get(connection.get_server_pid()) or -_FRESH_SECONDS
        return time.monotonic() - used_at < _FRESH_SECONDS

    def _failed(self, connection: PooledConnection, error: Exception) -> OrchardError | None:
        """What to raise for a failed statement; a connection in doubt is terminated, never reused."""
        ours = translate(error)
        if isinstance(ours, DatabaseUnavailable) and not isinstance(error, asyncpg.PostgresError):
            connection.terminate()
            self._suspect()
        return ours

    # --- finding out whether the server is there --------------------------------------------------------

    async def _connect_first(self) -> None:
        async def one() -> None:
            with contextlib.suppress(Exception):  # calls report it themselves
                await self.ping()

        await asyncio.gather(*(one() for _ in range(self._min_size)))

    def _suspect(self) -> None:
        if self._pool is not None:
            self._circuit.suspect()

    async def _probe(self) -> int:
        try:
            connection = await connect(self._url, timeout=_PROBE_TIMEOUT_SECONDS)
        except OrchardError as error:
            if isinstance(error.__cause__, asyncpg.TooManyConnectionsError):
                return 0  # it answers; it is only busy
            return 1 if isinstance(error.__cause__, TimeoutError) else 2  # refused: it is gone
        connection.terminate()
        return 0

    async def _changed(self, is_open: bool) -> None:
        if not is_open:
            return
        self._slots.fail_waiting("PostgreSQL does not answer")
        if self._pool is not None:
            # Connections that may be half open are not tried one by one later: all are made anew.
            self._pool.terminate()
            self._pool = await self._new_pool()
