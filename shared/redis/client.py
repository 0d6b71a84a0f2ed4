"""Owner of the connections to one Redis: bounded, with deadlines, foreign errors translated.

A frozen Redis must not freeze us: every call has a deadline of 0.5 s, and the first call that
misses it opens a short circuit, so that later ones fail at once until a probe is answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Any, Literal

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import Connection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from shared.errors import ConfigurationError, OrchardError
from shared.errors.foreign import reason_of
from shared.errors.passing import CacheUnavailable, QueueUnavailable
from shared.process.circuit import Circuit
from shared.redis.lanes import Argument, MGetBatcher, Pipeline
from shared.redis.sentinel import RoleConnection, Sentinels, parse_sentinel
from shared.redis.types import MEND, mend_arguments
from shared.settings import Settings
from shared.telemetry.logs import get_logger
from shared.telemetry.metrics import REDIS_AVAILABLE, REDIS_DURATION, REDIS_ERRORS

log = get_logger()

DEADLINE_SECONDS = 0.5  # to connect, for a free connection of the pool, for one reply
PROBE_SECONDS = 0.1  # pause between probes while the circuit is open
MAX_CONNECTIONS = 64


Connector = Callable[[], Connection]
"""Makes one connection without read deadline, to one server."""


class RedisClient:
    """One Redis role: a server, or with `sentinels` whichever is the master. `raw` is for modules that
    need commands of their own; they wrap each use in `with client.guard():`, which translates what
    redis-py raises.

    Only commands of Redis 6.2 (Valkey has them all). Commands are retried once when a connection
    was lost, so a script or write sent through `raw` must be idempotent.
    """

    raw: Redis
    one_slot = False
    """Whether the keys of a script must lie in one slot (`ClusterClient`)."""

    def __init__(
        self,
        *,
        host: str,
        port: int,
        db: int = 0,
        password: str = "",
        role: Literal["cache", "queue"],
        error: type[OrchardError] | None = None,
        max_connections: int = MAX_CONNECTIONS,
        sentinels: Sentinels | None = None,
    ) -> None:
        self.role = role
        self.error = error or (CacheUnavailable if role == "cache" else QueueUnavailable)
        self.max_connections = max_connections
        self._address = f"{host}:{port}" if sentinels is None else f"the master {sentinels.master}"
        self._observe = REDIS_DURATION.labels(role).observe
        REDIS_AVAILABLE.labels(role).set(1)
        self._options: dict[str, Any] = {
            "host": host,
            "port": port,
            "db": db,
            "password": password or None,
            "protocol": 3,
            "socket_connect_timeout": DEADLINE_SECONDS,
            "health_check_interval": 0,  # a PING before a command doubles the hot path: see `ping`
            "lib_name": None,  # CLIENT SETINFO is a command of Redis 7.2
            "lib_version": None,
            "role": role,
            "sentinels": sentinels,
        }
        self.raw = self.duplicate(socket_timeout=DEADLINE_SECONDS, max_connections=max_connections)
        self.batcher = MGetBatcher(self.new_connection, deadline_seconds=DEADLINE_SECONDS)
        self.pipeline = Pipeline(self.new_connection, deadline_seconds=DEADLINE_SECONDS)
        self._circuit = Circuit(
            self._probe,
            name=f"{role} redis",
            silences=1,
            pause_seconds=PROBE_SECONDS,
            on_change=self._report,
        )
        self._mending: asyncio.Task[None] | None = None
        self._closed = False

    @classmethod
    def for_cache(cls, settings: Settings) -> RedisClient:
        """The cache Redis of ORCHARD_REDIS_*."""
        return cls(
            host=settings.redis_host or "127.0.0.1",
            port=settings.redis_port,
            db=settings.redis_db,
            password=settings.redis_password,
            role="cache",
            sentinels=_sentinels(
                settings.redis_sentinels, settings.redis_sentinel_master, settings.redis_sentinel_password
            ),
        )

    @classmethod
    def for_queue(cls, settings: Settings) -> RedisClient:
        """The queue Redis of ORCHARD_QUEUE_REDIS_*."""
        return cls(
            host=settings.queue_redis_host or "127.0.0.1",
            port=settings.queue_redis_port,
            db=settings.queue_redis_db,
            password=settings.queue_redis_password,
            role="queue",
            sentinels=_sentinels(
                settings.queue_redis_sentinels,
                settings.queue_redis_sentinel_master,
                settings.queue_redis_sentinel_password,
            ),
        )

    # --- connections --------------------------------------------------------------------------

    def duplicate(self, *, socket_timeout: float | None = None, max_connections: int = 4) -> Redis:
        """A redis-py client with a pool of its own, for pub/sub and blocking commands.

        The caller closes it (`aclose`). `socket_timeout` in seconds; None waits without end.
        """
        pool = BlockingConnectionPool(
            connection_class=RoleConnection,
            **self._options,
            max_connections=max_connections,
            timeout=DEADLINE_SECONDS,  # type: ignore[arg-type]  # seconds; redis-py says int
            socket_timeout=socket_timeout,
            retry=Retry(NoBackoff(), 1),
            retry_on_error=[RedisConnectionError],
        )
        return Redis.from_pool(pool)

    def new_connection(self, address: tuple[str, int] | None = None) -> Connection:
        """One connection without read deadline; the caller sets deadlines and disconnects it. `address`:
        another server's than the role's own."""
        there = {} if address is None else {"host": address[0], "port": address[1]}
        return RoleConnection(**self._options | there, socket_timeout=None)

    async def masters(self) -> list[Connector]:
        """How to connect to every server that keys are written at: who follows changes, follows all."""
        return [self.new_connection]

    async def moved(self) -> None:
        """Returns when these are others: never, for one server."""
        await asyncio.Event().wait()

    def plain_name(self, key: str) -> str:
        """The name of a key as the rest of the code knows it."""
        return key

    async def open(self) -> None:
        """Check the server. The cache may be away at start: it is only connected when needed.

        Role queue: raises `QueueUnavailable` when it does not answer and `ConfigurationError` when
        it may evict keys (`allkeys-lru` was seen to drop a whole queue).
        """
        if self.role == "cache":
            return
        with self.guard():
            memory: dict[str, Any] = await self.raw.info("memory")
        policy = str(memory.get("maxmemory_policy", "noeviction"))
        if policy != "noeviction":
            raise ConfigurationError(
                f"ORCHARD_QUEUE_REDIS_HOST: the queue Redis at {self._address} has maxmemory-policy "
                f"{policy}; it must be noeviction, or jobs would be lost"
            )

    async def aclose(self) -> None:
        """Close all connections; callers still waiting get this client's error."""
        self._closed = True
        await self._circuit.aclose()
        if self._mending is not None:
            self._mending.cancel()
            await asyncio.gather(self._mending, return_exceptions=True)
        await self.batcher.aclose()
        await self.pipeline.aclose()
        with contextlib.suppress(RedisError, OSError):
            await self.raw.aclose(close_connection_pool=True)

    # --- calls ----------------------------------------------------------------------------------

    @property
    def available(self) -> bool:
        """False while the circuit is open: the server missed a deadline and no probe came back."""
        return not self._circuit.is_open

    @property
    def in_use(self) -> int:
        """Busy connections of the pool (of `max_connections`), for health and metrics."""
        return len(self.raw.connection_pool._in_use_connections)

    async def ping(self) -> float:
        """Seconds that a PING takes. Raises the role's error."""
        return await self._timed(self.raw.ping())

    async def _timed(self, call: Awaitable[object]) -> float:
        started = time.perf_counter()
        with self.guard():
            await call
        return time.perf_counter() - started

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """Values of `keys` in order, None where absent; shares one MGET with concurrent callers.

        Raises the role's error: at once when refused or the circuit is open, else within 0.5 s.
        """
        with self.guard():
            return await self.batcher.get_many(keys)

    async def command(self, *args: Argument) -> Any:
        """The reply to one quick, idempotent command, sent together with those of concurrent callers.

        However many call at once, none waits for a connection. Raises the role's error as `get_many`.
        """
        with self.guard():
            return await self.submit(*args)

    async def submit(self, *args: Argument) -> Any:
        """As `command`; raises what redis-py raises."""
        return await self.pipeline.submit(args)

    async def unlink(self, *keys: str) -> int:
        """Remove keys; how many there were. Raises the role's error."""
        with self.guard():
            return int(await self.raw.unlink(*keys))

    async def scan(self, pattern: str, count: int) -> AsyncIterator[list[str]]:
        """The names of the keys that match, some at a time. Raises the role's error."""
        cursor: Any = 0
        while True:
            with self.guard():
                cursor, names = await self.raw.scan(cursor, match=pattern, count=count)
            yield [name.decode("utf-8", "replace") for name in names]
            if not int(cursor):
                return

    @contextlib.contextmanager
    def guard(self) -> Iterator[None]:
        """Translate redis-py's exceptions into the role's error; refuse while the circuit is open."""
        if self._circuit.is_open:
            REDIS_ERRORS.labels(self.role, "refused").inc()
            raise self.error(f"the {self.role} Redis does not answer")
        started = time.perf_counter()
        try:
            yield
        except (RedisTimeoutError, TimeoutError) as error:
            self._circuit.silent()
            REDIS_ERRORS.labels(self.role, "timeout").inc()
            raise self.error(f"the {self.role} Redis does not answer") from error
        except (RedisError, OSError) as error:
            REDIS_ERRORS.labels(self.role, "failed").inc()
            self.note_fault(error)
            log.debug("redis_failed", role=self.role, address=self._address, error=str(error))
            raise self.error(f"the {self.role} Redis failed: {reason_of(error)}") from error
        finally:
            self._observe(time.perf_counter() - started)

    # --- keys of another type ---------------------------------------------------------------------

    def note_fault(self, error: BaseException) -> None:
        """A command met a key of another type: such keys are looked for and removed, in the background."""
        if "WRONGTYPE" in str(error) and self._mending is None and not self._closed:
            self._mending = asyncio.get_running_loop().create_task(self._mend())

    async def _mend(self) -> None:
        cursor, removed = b"0", 0
        try:
            with contextlib.suppress(RedisError, OSError, TimeoutError):
                while not self._closed:
                    cursor, gone = await self.raw.execute_command(  # type: ignore[no-untyped-call]
                        "EVAL", MEND, 0, *mend_arguments(cursor)
                    )
                    removed += gone
                    if cursor == b"0":
                        break
            log.warning("redis_keys_of_another_type_removed", role=self.role, keys=removed)
        finally:
            self._mending = None

    # --- circuit --------------------------------------------------------------------------------

    async def _probe(self) -> int:
        connection = self.new_connection()
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                await connection.connect()  # type: ignore[no-untyped-call]
                await connection.send_command("PING")
                await connection.read_response()
        except (RedisConnectionError, ConnectionRefusedError):
            return 0  # gone or restarting: a call finds out at once, no circuit needed
        except (RedisError, OSError, TimeoutError):
            return 1
        finally:
            await connection.disconnect(nowait=True)
        return 0

    async def _report(self, is_open: bool) -> None:
        REDIS_AVAILABLE.labels(self.role).set(0 if is_open else 1)


def _sentinels(addresses: Sequence[str], master: str, password: str) -> Sentinels | None:
    return Sentinels([parse_sentinel(each) for each in addresses], master, password) if addresses else None
