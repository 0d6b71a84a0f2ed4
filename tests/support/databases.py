"""Databases of a test server that go from test to test.

To copy one from the template and drop it takes a tenth of a second of a core and more on a busy machine; to
empty one, a hundredth. One that a test gives back is emptied and lent again, unless more than rows was
changed in it: another schema, settings of its own, statistics or much data, and it is dropped.
"""

from __future__ import annotations

import io
import itertools
import os
from typing import Any

import asyncpg

from services.standalone.postgres import EmbeddedPostgres

MOST_BYTES = 8 << 20  # that a test's rows may have added
_numbers = itertools.count(1)

# Each change of the schema writes rows here, and ANALYZE into the last one.
_CATALOGS = (
    "pg_class", "pg_attribute", "pg_attrdef", "pg_constraint", "pg_index", "pg_proc", "pg_trigger", "pg_type",
    "pg_namespace", "pg_extension", "pg_rewrite", "pg_statistic",
)  # fmt: skip
_SHAPE = " UNION ALL ".join(f"SELECT count(*), sum(xmin::text::int8) FROM {each}" for each in _CATALOGS)
_SETTINGS = """
SELECT datconnlimit, (SELECT count(*) FROM pg_db_role_setting WHERE setdatabase = pg_database.oid)
FROM pg_database WHERE datname = current_database()
"""
_OURS = "SELECT oid::regclass::text FROM pg_class WHERE relkind = $1 AND oid >= 16384 ORDER BY oid"
_END_OTHERS = """
SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


class Databases:
    """Copies of one template on one server."""

    def __init__(self, server: EmbeddedPostgres, template: str) -> None:
        self._server, self._template = server, template
        self._idle: list[str] = []
        self._fresh: _Fresh | None = None

    async def lend(self) -> str:
        """The address of a database that looks like the template; `take_back` wants it again."""
        return self._server.url(self._idle.pop() if self._idle else await self._copy())

    async def take_back(self, url: str) -> None:
        """Whatever is still connected to it is ended."""
        name = url.rpartition("/")[2]
        if await self._emptied(name):
            self._idle.append(name)
        else:
            await administer(self._server, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    async def close(self) -> None:
        """Drop what nobody uses."""
        await administer(self._server, *(f"DROP DATABASE {name} WITH (FORCE)" for name in self._idle))

    async def _copy(self) -> str:
        name = f"test_{os.getpid()}_{next(_numbers)}"
        await administer(self._server, f"CREATE DATABASE {name} TEMPLATE {self._template}")
        return name

    async def _emptied(self, name: str) -> bool:
        try:
            connection = await asyncpg.connect(self._server.url(name), timeout=60, command_timeout=60)
        except (asyncpg.PostgresError, OSError):  # a test dropped it, or closed it to all
            return False
        try:
            await connection.execute(_END_OTHERS)
            if self._fresh is None:
                self._fresh = await _look_at(self._server, self._template)
            return await self._fresh.restore(connection)
        finally:
            await connection.close()


async def administer(server: EmbeddedPostgres, *statements: str) -> None:
    """Run statements that cannot be in a transaction, outside of the databases of tests."""
    connection = await asyncpg.connect(server.url("postgres"), timeout=60, command_timeout=60)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def _look_at(server: EmbeddedPostgres, template: str) -> _Fresh:
    connection = await asyncpg.connect(server.url(template), timeout=60, command_timeout=60)
    try:
        fresh = _Fresh()
        await fresh.read(connection)
        return fresh
    finally:
        await connection.close()


class _Fresh:
    """What is in a database that no test has used."""

    async def read(self, connection: asyncpg.Connection[Any]) -> None:
        self.shape = await _shape(connection)
        self.bytes = await connection.fetchval("SELECT pg_database_size(current_database())")
        self.tables = [row[0] for row in await connection.fetch(_OURS, b"r")]
        self.sequences = {
            row[0]: (await connection.fetch(f"SELECT last_value, is_called FROM {row[0]}"))[0]
            for row in await connection.fetch(_OURS, b"S")
        }
        self.rows = {table: found for table in self.tables if (found := await _rows(connection, table))}
        self.clear = "SET LOCAL session_replication_role = replica;" + "".join(
            f"IF EXISTS (SELECT FROM {table}) THEN DELETE FROM {table}; END IF;" for table in self.tables
        )

    async def restore(self, connection: asyncpg.Connection[Any]) -> bool:
        """Put the rows back as they were; False where more than rows was changed."""
        size = await connection.fetchval("SELECT pg_database_size(current_database())")
        if size > self.bytes + MOST_BYTES or await _shape(connection) != self.shape:
            return False
        async with connection.transaction():
            await connection.execute(f"DO $$ BEGIN {self.clear} END $$")
            await connection.execute("SET LOCAL session_replication_role = replica")
            for table, rows in self.rows.items():
                await connection.copy_to_table(table, source=io.BytesIO(rows), format="binary")
            for name, (value, called) in self.sequences.items():
                await connection.execute("SELECT setval($1::text::regclass, $2, $3)", name, value, called)
        return True


async def _shape(connection: asyncpg.Connection[Any]) -> list[Any]:
    return [*await connection.fetch(_SHAPE), await connection.fetchrow(_SETTINGS)]


async def _rows(connection: asyncpg.Connection[Any], table: str) -> bytes:
    """In the form of COPY; nothing where there are none."""
    if not await connection.fetchval(f"SELECT EXISTS (SELECT FROM {table})"):
        return b""
    rows = io.BytesIO()
    await connection.copy_from_table(table, output=rows, format="binary")
    return rows.getvalue()
