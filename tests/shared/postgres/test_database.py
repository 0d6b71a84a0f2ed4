"""The database client against a real server that is busy, away, killed or frozen: always bounded."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from services.standalone.postgres import EmbeddedPostgres
from shared.errors import ConfigurationError, InternalError, InvalidData
from shared.errors.passing import DatabaseUnavailable
from shared.postgres.database import Database
from shared.postgres.slots import deadline
from shared.settings import load_settings
from tests.support.freezing import freeze
from tests.support.stores import own_postgres

BOUND_SECONDS = 4.0  # promised: about 2; the rest is for a busy machine


@pytest.fixture
async def database(empty_database_url: str) -> AsyncIterator[Database]:
    database = Database(empty_database_url, max_size=4)
    await database.open()
    yield database
    await database.aclose()


async def fails(call: Awaitable[object]) -> float:
    """Seconds until the call raised `DatabaseUnavailable`."""
    started = time.monotonic()
    with pytest.raises(DatabaseUnavailable):
        await call
    return time.monotonic() - started


async def until_it_answers(database: Database) -> float:
    started = time.monotonic()
    while True:
        try:
            await database.fetch("SELECT 1")
            return time.monotonic() - started
        except DatabaseUnavailable:
            assert time.monotonic() - started < 20
            await asyncio.sleep(0.05)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


# --- statements -----------------------------------------------------------------------------------


async def test_statements__each_call__counts_one(database: Database) -> None:
    assert (await database.fetch("SELECT generate_series(1, 3) AS n"))[2]["n"] == 3
    row = await database.fetchrow("SELECT $1::int AS n", 7)
    assert row is not None and row["n"] == 7
    assert await database.fetchrow("SELECT 1 WHERE false") is None
    assert await database.execute("CREATE TABLE t (a int)") == "CREATE TABLE"
    assert database.statements == 4
    assert await database.ping() > 0
    assert database.statements == 4


async def test_statements__busy__active_shown_and_never_above_max(database: Database) -> None:
    calls = [asyncio.create_task(database.fetch("SELECT pg_sleep(0.2)")) for _ in range(10)]
    await asyncio.sleep(0.1)
    assert (database.active, database.max) == (4, 4)
    await asyncio.gather(*calls)
    assert database.active == 0
    rows = await database.fetch("SELECT 1 FROM pg_stat_activity WHERE datname = current_database()")
    assert len(rows) <= 4


@pytest.mark.parametrize("value", ["a\x00b", "a\ud800b", "\udfff"])
async def test_values__nul_and_lone_surrogates__refused_before_sql(database: Database, value: str) -> None:
    for args in ((value,), (["fine", value],)):
        with pytest.raises(InvalidData):
            await database.fetch("SELECT $1", *args)
    assert database.statements == 0


@pytest.mark.parametrize(
    ("query", "args"),
    [
        ("SELECT $1::int", (2**40,)),
        ("SELECT $1::int", ("text",)),
        ("SELECT 1 / $1::int", (0,)),
        ("INSERT INTO limited VALUES ($1)", (-1,)),
    ],
)
async def test_values__that_do_not_fit__invalid_data_without_the_value(
    database: Database, query: str, args: tuple[object, ...]
) -> None:
    await database.execute("CREATE TABLE limited (n int CHECK (n > 0))")
    with pytest.raises(InvalidData):
        await database.fetch(query, *args)


async def test_errors__schema_missing__says_what_to_run(database: Database) -> None:
    with pytest.raises(DatabaseUnavailable, match=r"python -m shared\.migrations"):
        await database.fetch("SELECT 1 FROM artifacts")


async def test_errors__our_own_bad_sql__internal_error(database: Database) -> None:
    with pytest.raises(InternalError):
        await database.fetch("SELEC 1")


def test_url__not_postgresql__configuration_error_without_the_value() -> None:
    with pytest.raises(ConfigurationError, match="ORCHARD_DATABASE_URL") as caught:
        Database("mysql://u:hunter2@a.example.com/")
    assert "hunter2" not in str(caught.value)


def test_from_settings__pool_size_plus_overflow__is_the_most() -> None:
    settings = load_settings(
        {
            "ORCHARD_DATABASE_URL": "postgresql://u:hunter2@127.0.0.1/x",
            "ORCHARD_DATABASE_POOL_SIZE": "3",
            "ORCHARD_DATABASE_MAX_OVERFLOW": "4",
        }
    )
    assert Database.from_settings(settings).max == 7


# --- waiting for a free connection ------------------------------------------------------------------


async def test_acquire__all_busy__bounded_by_the_pool_timeout(empty_database_url: str) -> None:
    database = Database(empty_database_url, max_size=1, acquire_timeout=0.2)
    await database.open()
    busy = asyncio.create_task(database.fetch("SELECT pg_sleep(1)"))
    await asyncio.sleep(0.1)
    assert await fails(database.fetch("SELECT 1")) < 0.9
    await busy
    assert await database.fetch("SELECT 1")
    await database.aclose()


async def test_acquire__request_has_a_deadline__bounded_by_it(empty_database_url: str) -> None:
    database = Database(empty_database_url, max_size=1, acquire_timeout=30)
    await database.open()
    busy = asyncio.create_task(database.fetch("SELECT pg_sleep(1)"))
    await asyncio.sleep(0.1)
    with deadline(0.2):
        assert await fails(database.fetch("SELECT 1")) < 0.9
    await busy
    await database.aclose()


async def test_cancel__running_and_waiting_calls__slots_come_back(database: Database) -> None:
    for _ in range(5):
        calls = [asyncio.create_task(database.fetch("SELECT pg_sleep(1)")) for _ in range(12)]
        await asyncio.sleep(0.05)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
    assert database.active == 0
    assert len(await asyncio.gather(*(database.fetch("SELECT 1") for _ in range(12)))) == 12


async def test_slow_statement__on_a_healthy_server__fails_alone(database: Database) -> None:
    slow = asyncio.create_task(fails(database.fetch("SELECT pg_sleep(30)")))
    while not slow.done():
        await database.fetch("SELECT 1")
        await asyncio.sleep(0.05)
    assert await slow < BOUND_SECONDS
    assert database.available


# --- a server that is away, killed, frozen ------------------------------------------------------------


async def test_away__open_and_calls__start_is_not_held_up(unused_tcp_port: int) -> None:
    database = Database(f"postgresql://u:hunter2@127.0.0.1:{unused_tcp_port}/x")
    started = time.monotonic()
    await database.open()
    assert time.monotonic() - started < 5
    with pytest.raises(DatabaseUnavailable) as caught:
        await database.fetch("SELECT 1")
    assert "hunter2" not in str(caught.value)
    await until(lambda: not database.available)
    assert await fails(database.fetch("SELECT 1")) < 0.5  # known to be away: at once
    await database.aclose()


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[EmbeddedPostgres]:
    with own_postgres(tmp_path / "postgres", max_connections=30) as server:
        yield server


def family(server: EmbeddedPostgres) -> list[int]:
    """The server's process ids, backends included."""
    pids = [server.pid]
    for pid in pids:
        pids += [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return pids


async def test_restarted__while_in_use__answers_again(server: EmbeddedPostgres) -> None:
    database = Database(server.url("postgres"), max_size=8)
    await database.open()
    await asyncio.gather(*(database.fetch("SELECT pg_sleep(0.05)") for _ in range(8)))
    await asyncio.to_thread(server.stop)
    with pytest.raises(DatabaseUnavailable):
        await database.fetch("SELECT 1")
    await until(lambda: not database.available)
    await asyncio.to_thread(server.start)
    assert await until_it_answers(database) < 5
    await database.aclose()


async def test_frozen__busy_waiting_and_new_calls__all_bounded_then_recovers(
    server: EmbeddedPostgres,
) -> None:
    database = Database(server.url("postgres"), max_size=4)
    await database.open()
    await asyncio.gather(*(database.fetch("SELECT pg_sleep(0.05)") for _ in range(4)))
    pids = family(server)
    for pid in pids:
        freeze(pid)
    try:
        times = await asyncio.gather(*(fails(database.fetch("SELECT 1")) for _ in range(40)))
        assert max(times) < BOUND_SECONDS
        assert await fails(database.fetch("SELECT 1")) < BOUND_SECONDS
        cancelled = asyncio.create_task(database.ping())
        await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.gather(cancelled, return_exceptions=True)
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    assert await until_it_answers(database) < 5
    assert database.active == 0
    await database.aclose()


async def test_frozen__aclose__bounded(server: EmbeddedPostgres) -> None:
    database = Database(server.url("postgres"), max_size=2)
    await database.open()
    await database.fetch("SELECT 1")
    pids = family(server)
    for pid in pids:
        freeze(pid)
    try:
        started = time.monotonic()
        await database.aclose()
        assert time.monotonic() - started < BOUND_SECONDS
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


async def test_pre_ping__connection_gone_stale__replaced_unseen(server: EmbeddedPostgres) -> None:
    database = Database(server.url("postgres"), max_size=1, pre_ping=True)
    await database.open()
    (row,) = await database.fetch("SELECT pg_backend_pid() AS pid")
    freeze(row["pid"])  # as a firewall that dropped the idle connection: silence
    try:
        (again,) = await database.fetch("SELECT pg_backend_pid() AS pid")
        assert again["pid"] != row["pid"]
    finally:
        os.kill(row["pid"], signal.SIGCONT)
    await database.aclose()


# --- LISTEN -------------------------------------------------------------------------------------------


async def test_listen__notifications_and_reconnects__reported(server: EmbeddedPostgres) -> None:
    database = Database(server.url("postgres"))
    await database.open()
    heard: list[tuple[str, str]] = []
    connects: list[float] = []
    listener = await database.listen(
        ["a", "b"],
        lambda channel, payload: heard.append((channel, payload)),
        lambda: connects.append(time.monotonic()),
    )
    await until(lambda: len(connects) == 1)
    await database.execute("SELECT pg_notify('a', 'one'), pg_notify('b', 'two')")
    await until(lambda: heard == [("a", "one"), ("b", "two")])
    await asyncio.to_thread(server.stop)
    await until(lambda: not listener.connected)
    await asyncio.to_thread(server.start)
    await until(lambda: len(connects) == 2)
    await until_it_answers(database)
    await database.execute("SELECT pg_notify('a', 'three')")
    await until(lambda: heard[-1] == ("a", "three"))
    await listener.aclose()
    await database.aclose()


async def test_listen__connection_falls_silent__found_and_made_anew(server: EmbeddedPostgres) -> None:
    database = Database(server.url("postgres"))
    await database.open()
    connects: list[float] = []
    listener = await database.listen(["a"], lambda *_: None, lambda: connects.append(time.monotonic()))
    await until(lambda: len(connects) == 1)
    (row,) = await database.fetch("SELECT pid FROM pg_stat_activity WHERE query LIKE 'LISTEN%'")
    freeze(row["pid"])
    try:
        await until(lambda: len(connects) == 2)
    finally:
        os.kill(row["pid"], signal.SIGCONT)
    await listener.aclose()
    await database.aclose()
