"""A database that goes from test to test is as new each time."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio

from services.standalone.postgres import EmbeddedPostgres
from tests.support.databases import Databases, administer

TEMPLATE = "template_of_lent"


@pytest_asyncio.fixture
async def databases(postgres_server: EmbeddedPostgres) -> AsyncIterator[Databases]:
    """Of a template with a seed row and a sequence that has begun."""
    await administer(postgres_server, f"CREATE DATABASE {TEMPLATE}")
    await changed(
        postgres_server.url(TEMPLATE),
        "CREATE TABLE seeds (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text);"
        "CREATE TABLE leaves (of int REFERENCES seeds (id)); INSERT INTO seeds (name) VALUES ('first')",
    )
    databases = Databases(postgres_server, TEMPLATE)
    yield databases
    await databases.close()
    await administer(postgres_server, f"DROP DATABASE {TEMPLATE}")


async def changed(url: str, statements: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(statements)
    await connection.close()


async def content(url: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        seeds = await connection.fetch("SELECT id, name FROM seeds ORDER BY id")
        leaves = await connection.fetchval("SELECT count(*) FROM leaves")
        following = await connection.fetchval("INSERT INTO seeds (name) VALUES ('next') RETURNING id")
        return [tuple(row) for row in seeds], leaves, following
    finally:
        await connection.close()


NEW = ([(1, "first")], 0, 2)


@pytest.mark.parametrize(
    "rows",
    [
        "INSERT INTO seeds (name) VALUES ('second'); INSERT INTO leaves VALUES (1), (2)",
        "UPDATE seeds SET name = 'other'",
        "DELETE FROM seeds",
        "SELECT setval('seeds_id_seq', 900)",
    ],
)
async def test_rows_changed__lent_again_as_new(databases: Databases, rows: str) -> None:
    url = await databases.lend()
    await changed(url, rows)
    await databases.take_back(url)
    assert await databases.lend() == url
    assert await content(url) == NEW
    await databases.take_back(url)


@pytest.mark.parametrize(
    "change",
    [
        "CREATE TABLE more (id int)",
        "ALTER TABLE seeds ADD COLUMN more int",
        "DROP TABLE leaves",
        "CREATE INDEX ON seeds (name)",
        "CREATE FUNCTION more() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "ANALYZE seeds",
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET work_mem = 64', current_database()); END $$",
        "INSERT INTO seeds (name) SELECT repeat(md5(n::text), 10) FROM generate_series(1, 40000) n",
    ],
)
async def test_more_than_rows_changed__another_one_is_lent(databases: Databases, change: str) -> None:
    url = await databases.lend()
    await changed(url, change)
    await databases.take_back(url)
    another = await databases.lend()
    assert another != url
    assert await content(another) == NEW
    await databases.take_back(another)


async def test_connection_left_open__is_ended(databases: Databases) -> None:
    url = await databases.lend()
    left = await asyncpg.connect(url)
    await databases.take_back(url)
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await left.fetchval("SELECT 1")
