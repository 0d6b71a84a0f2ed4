"""Real PostgreSQL and Redis servers for tests: started once per session, as new for every test.

Fixtures:
  database_url        a migrated database of its own for one test (tests/support/databases.py)
  empty_database_url  the same without any table
  cache_redis, queue_redis   addresses of the session's two Redis servers, emptied before the test
  store_settings      all of it as ORCHARD_* variables

Tests that stop, freeze or kill a store start their own: `own_postgres`, `own_redis`.

Whoever runs many sessions one after another starts the three itself (`standing`) and names their folder in
STANDING_STORES: a session's own take three seconds.
"""

from __future__ import annotations

import asyncio
import atexit
import functools
import itertools
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import pytest
import pytest_asyncio

from services.standalone.postgres import EmbeddedPostgres
from services.standalone.redis_server import EmbeddedRedis, Role
from services.standalone.servers import EmbeddedServer
from tests.support.databases import Databases, administer

Server = TypeVar("Server", bound=EmbeddedServer)
Result = TypeVar("Result")

ROOT = Path(__file__).parents[2]
TEMPLATE = "orchard_template"
STANDING = "STANDING_STORES"
MOST_CONNECTIONS = 400
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """Where a Redis listens; `url` is what redis-py's from_url takes."""

    host: str
    port: int
    password: str
    db: int = 0

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@{self.host}:{self.port}/{self.db}"


def address_of(server: EmbeddedRedis) -> RedisAddress:
    """The address of a started server."""
    return RedisAddress("127.0.0.1", server.port, server.password)


@contextmanager
def own_postgres(folder: Path, *, max_connections: int = 100) -> Iterator[EmbeddedPostgres]:
    """A PostgreSQL for one test or benchmark: `.url()`, `.pid`, `.stop()`, `.kill()`, `.start()`."""
    if not folder.exists():
        shutil.copytree(_empty_cluster(), folder, ignore=shutil.ignore_patterns("port"))
    with EmbeddedPostgres(folder, max_connections=max_connections, durable=False) as server:
        yield server


@functools.cache
def _empty_cluster() -> Path:
    """The folder of a PostgreSQL that was never started, one for a process: to make one takes two seconds of
    a core, to copy it a tenth."""
    folder = Path(tempfile.mkdtemp(prefix="orchard-cluster-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    EmbeddedPostgres(folder, durable=False).prepare()
    return folder


@contextmanager
def own_redis(folder: Path, role: Role) -> Iterator[EmbeddedRedis]:
    """A Redis for one test or benchmark: `address_of(server)`, `.pid`, `.stop()`, `.kill()`, `.start()`."""
    with EmbeddedRedis(folder, role, cache_megabytes=64) as server:
        yield server


@contextmanager
def standing(folder: Path) -> Iterator[list[EmbeddedServer]]:
    """The three servers of a session, migrated, for sessions that are given `folder`."""
    with (
        own_postgres(folder / "postgres") as postgres,
        own_redis(folder / "redis-cache", "cache") as cache,
        own_redis(folder / "redis-queue", "queue") as queue,
    ):
        asyncio.run(_migrated_template(postgres))
        yield [postgres, cache, queue]


@contextmanager
def _of_session(server: Server) -> Iterator[Server]:
    """`server`, started for this session; or as it stands, where STANDING_STORES names its folder."""
    if STANDING in os.environ:
        server.port = int((server.folder / "port").read_text())
        server.password = (server.folder / "password").read_text().strip()
        yield server
    else:
        with server:
            yield server


def _folder(factory: pytest.TempPathFactory, name: str) -> Path:
    return Path(os.environ[STANDING]) / name if STANDING in os.environ else factory.mktemp(name)


class _OfProcess:
    """The PostgreSQL of all tests of this process and its databases, from the first that asks for one on."""

    def __init__(self) -> None:
        self._stack = ExitStack()

    @functools.cached_property
    def server(self) -> EmbeddedPostgres:
        if STANDING in os.environ:
            folder = Path(os.environ[STANDING]) / "postgres"
            return self._stack.enter_context(_of_session(EmbeddedPostgres(folder, durable=False)))
        folder = Path(tempfile.mkdtemp(prefix="orchard-postgres-"))
        self._stack.callback(shutil.rmtree, folder, ignore_errors=True)
        server = self._stack.enter_context(own_postgres(folder / "server", max_connections=MOST_CONNECTIONS))
        _apart(_migrated_template(server))
        return server

    @functools.cached_property
    def databases(self) -> Databases:
        databases = Databases(self.server, TEMPLATE)
        self._stack.callback(lambda: _apart(databases.close()))
        return databases

    def close(self) -> None:
        self._stack.close()


_process = _OfProcess()


def pytest_unconfigure() -> None:
    _process.close()


def _apart(work: Coroutine[Any, Any, Result]) -> Result:
    """Run to its end, whether or not a loop runs here."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


@contextmanager
def lent_database() -> Iterator[str]:
    """The address of a migrated database for one Orchard, with a name of its own as an installation."""
    url = _apart(_process.databases.lend())
    try:
        _apart(_as_another_installation(url))
        yield url
    finally:
        _apart(_process.databases.take_back(url))


async def _as_another_installation(url: str) -> None:
    connection = await asyncpg.connect(url, timeout=60)
    try:
        await connection.execute("UPDATE installation SET id = DEFAULT")
    finally:
        await connection.close()


@pytest.fixture(scope="session")
def postgres_server() -> EmbeddedPostgres:
    return _process.server


@pytest.fixture(scope="session")
def cache_redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    folder = _folder(tmp_path_factory, "redis-cache")
    with _of_session(EmbeddedRedis(folder, "cache", cache_megabytes=64)) as server:
        yield server


@pytest.fixture(scope="session")
def queue_redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    folder = _folder(tmp_path_factory, "redis-queue")
    with _of_session(EmbeddedRedis(folder, "queue", cache_megabytes=64)) as server:
        yield server


@pytest.fixture
def cache_redis(cache_redis_server: EmbeddedRedis) -> RedisAddress:
    cache_redis_server.command("FLUSHALL")
    return address_of(cache_redis_server)


@pytest.fixture
def queue_redis(queue_redis_server: EmbeddedRedis) -> RedisAddress:
    queue_redis_server.command("FLUSHALL")
    return address_of(queue_redis_server)


@pytest_asyncio.fixture
async def empty_database_url(postgres_server: EmbeddedPostgres) -> AsyncIterator[str]:
    name = f"empty_{os.getpid()}_{next(_numbers)}"
    await administer(postgres_server, f"CREATE DATABASE {name} TEMPLATE template1")
    try:
        yield postgres_server.url(name)
    finally:
        await administer(postgres_server, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest_asyncio.fixture
async def database_url() -> AsyncIterator[str]:
    url = await _process.databases.lend()
    yield url
    await _process.databases.take_back(url)


@pytest.fixture
def store_settings(
    database_url: str, cache_redis: RedisAddress, queue_redis: RedisAddress, tmp_path: Path
) -> dict[str, str]:
    """The variables by which services find the stores of this test."""
    return {
        "ORCHARD_DATABASE_URL": database_url,
        "ORCHARD_REDIS_HOST": cache_redis.host,
        "ORCHARD_REDIS_PORT": str(cache_redis.port),
        "ORCHARD_REDIS_PASSWORD": cache_redis.password,
        "ORCHARD_QUEUE_REDIS_HOST": queue_redis.host,
        "ORCHARD_QUEUE_REDIS_PORT": str(queue_redis.port),
        "ORCHARD_QUEUE_REDIS_PASSWORD": queue_redis.password,
        "ORCHARD_DATA_DIR": str(tmp_path / "data"),
    }


async def _migrated_template(server: EmbeddedPostgres) -> None:
    quiet = ("ALTER SYSTEM SET autovacuum = off", "SELECT pg_reload_conf()")  # what it makes is a change
    await administer(server, *quiet, f"DROP DATABASE IF EXISTS {TEMPLATE}", f"CREATE DATABASE {TEMPLATE}")
    await migrate(server.url(TEMPLATE))


async def migrate(url: str) -> None:
    """Bring a database to the newest schema by the same command that operators use."""
    if not (ROOT / "shared" / "migrations" / "__main__.py").exists():
        return
    environment = {key: value for key, value in os.environ.items() if not key.startswith("ORCHARD_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "shared.migrations",
        cwd=ROOT,
        env={**environment, "ORCHARD_DATABASE_URL": url},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"migrations failed: {output.decode(errors='replace')}")
