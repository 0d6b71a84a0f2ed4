"""Migration 0011: what an older Orchard served of Maven goes on being served from where it came."""

from __future__ import annotations

import asyncpg

from shared.migrations.runner import migrate, read_migrations

FILE = "INSERT INTO cached_urls (protocol, project, file_id, filename, sha256, generation, source_id)"


async def test_files_of_one_source__pinned__of_several__shared_and_told(empty_database_url: str) -> None:
    migrations = read_migrations()
    before = [each for each in migrations if each.version < 11]
    await migrate(empty_database_url, before, wait_seconds=5, say=lambda _: None)
    connection = await asyncpg.connect(empty_database_url)
    try:
        await connection.execute("INSERT INTO projects VALUES ('_maven', true), ('_pypi', true)")
        await connection.execute(
            "INSERT INTO artifacts (sha256, size_bytes, content_type, object_key) "
            "VALUES (sha256('x'), 1, 'a/b', 'artifacts/x')"
        )
        for protocol, project, version, source in (
            ("maven", "g:one", "1.0", 7),
            ("maven", "g:one", "2.0", 7),
            ("maven", "g:two", "1.0", 8),
            ("maven", "g:two", "2.0-SNAPSHOT", 7),
            ("maven", "g:made", "1.0", 0),
            ("pypi", "demo", "1.0", 9),
        ):
            await connection.execute(
                "INSERT INTO packages (protocol, name, owner) VALUES ($1::text, $2, '_' || $1::text) "
                "ON CONFLICT DO NOTHING",
                protocol, project,
            )  # fmt: skip
            await connection.execute(
                f"{FILE} VALUES ($1, $2, $3, 'f', sha256('x'), 1, $4)", protocol, project, version, source
            )
        await migrate(empty_database_url, migrations, wait_seconds=5, say=lambda _: None)
        pins = await connection.fetch("SELECT protocol, project, source_id FROM project_pins")
        assert [tuple(row) for row in pins] == [("maven", "g:one", 7)]
        shared = await connection.fetch("SELECT project, source_id FROM shared_pins ORDER BY 2")
        assert [tuple(row) for row in shared] == [("g:two", 7), ("g:two", 8)]
        events = await connection.fetch("SELECT kind, project, detail FROM events")
        assert [tuple(row) for row in events] == [("served_by_several", "g:two", '{"source_ids": [7, 8]}')]
    finally:
        await connection.close()
