"""The embedded stores and the fixtures built on them: started for real, killed for real."""

from __future__ import annotations

import os
import signal
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
import redis.asyncio

from services.standalone import postgres
from services.standalone.identity import NOBODY, choose_identity, copy_programs
from services.standalone.postgres import EmbeddedPostgres, installed_binaries, needed_connections
from services.standalone.redis_server import EmbeddedRedis
from services.standalone.servers import StoreFailed, free_port
from tests.support.stores import RedisAddress, address_of, own_redis


async def value_of(url: str, query: str) -> object:
    connection = await asyncpg.connect(url, timeout=5)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def test_postgres__started_again_after_sigkill__has_its_data_and_its_port(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path, max_connections=30).start()
    try:
        port = server.port
        await value_of(server.url(), "CREATE TABLE kept (n int)")
        await value_of(server.url(), "INSERT INTO kept VALUES (7)")
        server.kill()
        server.start()
        assert await value_of(server.url(), "SELECT n FROM kept") == 7
        assert server.port == port
    finally:
        server.stop()


async def test_postgres__its_pid_file_names_another_living_process__starts(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path, durable=False).start()
    server.kill()
    pid_file = tmp_path / "data" / "postmaster.pid"
    rest = pid_file.read_text().split("\n", 1)[1]
    pid_file.write_text(f"{os.getpid()}\n{rest}")  # as after a restart of the machine
    with server:
        assert await value_of(server.url(), "SELECT 1") == 1


async def test_postgres__killed_while_the_cluster_was_made__starts_over(tmp_path: Path) -> None:
    half_made = tmp_path / "data.new"
    half_made.mkdir()
    (half_made / "PG_VERSION").write_text("18\n")
    with EmbeddedPostgres(tmp_path, durable=False) as server:
        assert await value_of(server.url(), "SELECT current_setting('server_encoding')") == "UTF8"
        assert not half_made.exists()


async def test_postgres__running__wants_its_password_and_listens_on_loopback_only(
    postgres_server: EmbeddedPostgres,
) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(postgres_server.url().replace(postgres_server.password, "wrong"), timeout=5)
    assert await value_of(postgres_server.url(), "SHOW listen_addresses") == "127.0.0.1"
    assert await value_of(postgres_server.url(), "SHOW unix_socket_directories") == ""


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can enter; pytest keeps its own ones closed."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give up its identity")
async def test_postgres__root_without_namespaces__runs_as_nobody(open_folder: Path) -> None:
    server = EmbeddedPostgres(open_folder / "pg", durable=False)
    server.namespaces = False
    with server:
        assert await value_of(server.url(), "SELECT 1") == 1
        assert os.stat(f"/proc/{server.pid}").st_uid == NOBODY
    assert (open_folder / "pg" / "data").stat().st_uid == NOBODY
    server.namespaces = True  # the same folder, now through a namespace
    with server:
        assert await value_of(server.url(), "SELECT 1") == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give up its identity")
def test_identity__nobody_cannot_enter_the_folder__says_so_in_one_line(open_folder: Path) -> None:
    closed = open_folder / "closed"
    closed.mkdir(mode=0o700)
    inside = closed / "data" / "postgres"
    inside.mkdir(parents=True)  # Orchard opens its own folder and PostgreSQL's in it, and none around them
    with pytest.raises(StoreFailed, match=r"^ORCHARD_DATA_DIR: .*nobody cannot enter") as raised:
        choose_identity(inside, installed_binaries(), namespaces=False)
    assert "\n" not in str(raised.value)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give up its identity")
async def test_postgres__binaries_that_nobody_can_read__are_copied_into_the_data_folder(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = open_folder / "closed"
    closed.mkdir(mode=0o700)
    hidden = copy_programs(installed_binaries(), closed)
    monkeypatch.setattr(postgres, "installed_binaries", lambda: hidden)
    server = EmbeddedPostgres(open_folder / "pg", durable=False)
    server.namespaces = False
    with server:
        assert await value_of(server.url(), "SELECT 1") == 1
    assert (open_folder / "pg" / "programs").exists()


def test_needed_connections__three_services__covers_their_pools_and_listeners() -> None:
    assert needed_connections(50, 3) >= 3 * 51 + 3


@pytest.mark.parametrize(("role", "policy"), [("cache", "allkeys-lru"), ("queue", "noeviction")])
async def test_redis__each_role__has_its_eviction_policy(tmp_path: Path, role: str, policy: str) -> None:
    with own_redis(tmp_path, role) as server:  # type: ignore[arg-type]
        client = redis.asyncio.from_url(address_of(server).url)
        assert (await client.config_get("maxmemory-policy"))["maxmemory-policy"] == policy
        await client.aclose()


async def test_queue_redis__killed_a_second_after_a_write__still_has_it(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path, "queue").start()
    try:
        assert server.command("SET", "job", "waiting") == b"+OK"
        time.sleep(1.5)  # appendfsync everysec
        server.kill()
        server.start()
        assert server.command("STRLEN", "job") == b":7"
    finally:
        server.stop()


def test_redis__running__shows_its_password_in_no_argument_and_no_readable_file(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path, "cache") as server:
        assert server.password not in Path(f"/proc/{server.pid}/cmdline").read_text()
        holding = [path for path in tmp_path.iterdir() if server.password in path.read_text()]
        assert {path.name for path in holding} == {"password", "redis.conf"}
        assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in holding)


def test_redis__its_port_was_taken_meanwhile__takes_another(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path / "a", "cache") as first:
        other = tmp_path / "b"
        other.mkdir()
        (other / "port").write_text(str(first.port))
        with EmbeddedRedis(other, "cache") as second:
            assert second.port != first.port
            assert (other / "port").read_text().strip() == str(second.port)


def test_store__stopped__leaves_no_process(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path, "cache").start()
    pid = server.pid
    server.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, signal.SIG_DFL)


async def test_database_url__first_of_two__is_a_migrated_database(database_url: str) -> None:
    await value_of(database_url, "CREATE TABLE mine (n int)")
    assert await value_of(database_url, "SELECT to_regclass('upstream_sources')") is not None


async def test_database_url__second_of_two__does_not_see_the_first_ones_table(database_url: str) -> None:
    assert await value_of(database_url, "SELECT to_regclass('mine')") is None


async def test_empty_database_url__asked_for__has_no_table(empty_database_url: str) -> None:
    query = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
    assert await value_of(empty_database_url, query) == 0


async def test_cache_redis__written_and_asked_for_again__was_emptied(
    cache_redis: RedisAddress, queue_redis: RedisAddress
) -> None:
    assert cache_redis.port != queue_redis.port
    client = redis.asyncio.from_url(cache_redis.url)
    assert await client.dbsize() == 0
    await client.aclose()


def test_free_port__reserved_for_somebody_who_does_not_listen_yet__is_another() -> None:
    port = free_port()
    assert free_port(port) == port
    assert free_port(port, {port}) != port
