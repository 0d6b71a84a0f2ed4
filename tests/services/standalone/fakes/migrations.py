"""Proves that the database is there: counts in a table how often it was run."""

import asyncio

import asyncpg

from shared.settings import load_settings


async def main() -> None:
    connection = await asyncpg.connect(load_settings().database_url, timeout=5)
    await connection.execute("CREATE TABLE IF NOT EXISTS runs (n int)")
    await connection.execute("INSERT INTO runs VALUES (1)")
    print("runs:", await connection.fetchval("SELECT count(*) FROM runs"))
    await connection.close()


asyncio.run(main())
