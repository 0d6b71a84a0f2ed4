"""Migration 0020: servings that were stored before it have their sums, in the days that were there."""

from __future__ import annotations

from datetime import UTC, datetime

import asyncpg

from shared.migrations.runner import migrate, read_migrations


async def test_servings_of_before__are_summed_by_day_of_utc(empty_database_url: str) -> None:
    migrations = read_migrations()
    before = [each for each in migrations if each.version < 20]
    await migrate(empty_database_url, before, wait_seconds=5, say=lambda _: None)
    connection = await asyncpg.connect(empty_database_url, server_settings={"timezone": "Asia/Tokyo"})
    try:
        for day in (1, 2, 3):
            await connection.execute("SELECT add_servings_day($1)", datetime(2026, 5, day).date())
        for at, client, times, code in (
            (datetime(2026, 5, 1, 23, 59, 59, tzinfo=UTC), 1, 1, ""),
            (datetime(2026, 5, 2, 0, 0, 0, tzinfo=UTC), 1, 2, ""),
            (datetime(2026, 5, 2, 20, 0, 0, tzinfo=UTC), 1, 3, ""),
            (datetime(2026, 5, 2, 20, 0, 0, tzinfo=UTC), 1, 1, "blocked"),
            (datetime(2026, 5, 2, 20, 0, 0, tzinfo=UTC), 2, 1, ""),
        ):
            await connection.execute(
                "INSERT INTO servings (at, size_bytes, file_id, client_id, times, result, cache, code) "
                "VALUES ($1, 1, 7, $2, $3, 0, 'HIT', $4)",
                at, client, times, code,
            )  # fmt: skip
        await migrate(empty_database_url, migrations, wait_seconds=5, say=lambda _: None)
        rows = await connection.fetch(
            "SELECT day, client_id, code, times, first_at <> last_at AS several FROM servings_daily "
            "ORDER BY 1, 2, 3"
        )
        assert [(row["day"].day, *list(row.values())[1:]) for row in rows] == [
            (1, 1, "", 1, False),
            (2, 1, "", 5, True),
            (2, 1, "blocked", 1, False),
            (2, 2, "", 1, False),
        ]
        assert await connection.fetchval("SELECT drop_servings_before('2026-05-02')") == 1
        assert await connection.fetchval("SELECT count(*) FROM servings") == 4
        assert await connection.fetchval("SELECT sum(times) FROM servings_daily") == 7
        await connection.execute("SELECT add_servings_day('2026-05-04'), add_servings_day('2026-05-03')")
        days = await connection.fetch(
            "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
            "WHERE i.inhparent = 'servings_daily'::regclass ORDER BY 1"
        )
        assert [row["relname"][-2:] for row in days] == ["02", "03", "04"]
    finally:
        await connection.close()
