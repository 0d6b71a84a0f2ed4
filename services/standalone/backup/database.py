"""The database into files and back, by PostgreSQL's own protocol (COPY): no other program is needed."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import hashlib
import zlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from graphlib import TopologicalSorter
from pathlib import Path

from services.standalone.backup.manifest import CHUNK_BYTES, BackupError, Manifest, Table
from shared.errors import OrchardError
from shared.migrations.runner import Migration, migrate
from shared.postgres.connection import Session, session

SCHEMA = "schema_migrations"
APPLIED = "SELECT name, checksum FROM schema_migrations ORDER BY version"
TABLES = """
SELECT c.relname AS name, array_agg(a.attname ORDER BY a.attnum) AS columns
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
GROUP BY c.relname ORDER BY c.relname
"""
NEEDS = """
SELECT r.relname AS name, f.relname AS needs
FROM pg_constraint k JOIN pg_class r ON r.oid = k.conrelid JOIN pg_class f ON f.oid = k.confrelid
WHERE k.contype = 'f' AND k.connamespace = current_schema()::regnamespace AND r.oid <> f.oid
"""
SEQUENCES = """
SELECT sequencename AS name, last_value FROM pg_sequences
WHERE schemaname = current_schema() AND last_value IS NOT NULL
"""
DAYS = """
SELECT right(c.relname, 8) AS day FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = to_regclass('servings') ORDER BY 1
"""
MADE = {
    "TABLE": """
SELECT c.oid::regclass::text AS name FROM pg_class c
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')
""",
    "SEQUENCE": """
SELECT c.oid::regclass::text AS name FROM pg_class c
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'S'
""",
    "FUNCTION": """
SELECT p.oid::regprocedure::text AS name FROM pg_proc p
WHERE p.pronamespace = current_schema()::regnamespace
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
""",
}
"""All that migrations make; not what belongs to an extension."""
OBJECTS = {
    "artifacts": "SELECT object_key AS key FROM artifacts",
    "index_documents": "SELECT document_key AS key FROM index_documents",
    "log_tiles": "SELECT 'tiles/' || encode(sha256, 'hex') AS key FROM log_tiles",
    "statements": "SELECT 'statements/' || encode(object, 'hex') AS key FROM statements",
    "build_statements": "SELECT 'statements/' || encode(object, 'hex') AS key FROM build_statements",
    "build_objects": "SELECT key FROM build_objects",
    "imported_files": "SELECT 'artifacts/' || encode(sha256, 'hex') AS key FROM imported_files",
}
"""By table: the objects that its rows name. What is in no table (finished pages) is made again."""


async def dump_tables(
    database: Session, folder: Path
) -> tuple[dict[str, str], list[Table], dict[str, int], list[str]]:
    """All rows, inside the caller's snapshot: migrations, tables, sequences, days."""
    applied = await database.fetch(APPLIED)
    columns = {row["name"]: list(row["columns"]) for row in await database.fetch(TABLES)}
    columns.pop(SCHEMA)
    order = TopologicalSorter[str](dict.fromkeys(sorted(columns), ()))
    for row in await database.fetch(NEEDS):
        if row["name"] in columns:
            order.add(row["name"], row["needs"])
    tables = [await _dump(database, folder, name, columns[name]) for name in order.static_order()]
    sequences = {row["name"]: int(row["last_value"]) for row in await database.fetch(SEQUENCES)}
    days = [row["day"] for row in await database.fetch(DAYS)]
    return {row["name"]: row["checksum"] for row in applied}, tables, sequences, days


async def _dump(database: Session, folder: Path, name: str, columns: Sequence[str]) -> Table:
    path = folder / f"{name}.copy.gz"
    listed = ", ".join(f'"{each}"' for each in columns)
    with path.open("wb") as raw, gzip.GzipFile("", "wb", 1, raw, mtime=0) as file:

        async def write(data: bytes) -> None:
            await asyncio.to_thread(file.write, data)

        query = f'SELECT {listed} FROM "{name}"'  # noqa: S608 - the catalogue's own names
        rows = await database.copy_out(query, write)
    with path.open("rb") as done:
        return Table(name, list(columns), rows, hashlib.file_digest(done, "sha256").hexdigest())


async def is_empty(url: str) -> bool:
    """Whether a database has no table of anybody's."""
    async with session(url) as database:
        return not await database.fetch(TABLES)


@asynccontextmanager
async def emptied_on_failure(url: str) -> AsyncIterator[None]:
    """A database that was empty is so again where what runs inside fails: it can be restored into once more.

    A restore that is killed leaves its tables: the next one says that the database is not empty."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(OrchardError):  # away: the first error says so
            async with session(url) as database, database.transaction():
                for kind, query in MADE.items():
                    for row in await database.fetch(query):
                        await database.script(f"DROP {kind} IF EXISTS {row['name']} CASCADE")
        raise


async def load_tables(url: str, manifest: Manifest, folder: Path, known: Sequence[Migration]) -> None:
    """An empty database becomes what the snapshot says, then is brought to the newest schema.

    Raises `BackupError` if other rows came than the manifest says, and what the database raises."""
    level = known[: len(manifest.migrations)]
    await migrate(url, level, wait_seconds=15.0, say=lambda line: None)
    async with session(url) as database, database.transaction():
        names = [each.name for each in manifest.tables]
        await database.script("TRUNCATE " + ", ".join(f'"{each}"' for each in names) + " CASCADE")
        for day in manifest.days:
            await database.fetch("SELECT add_servings_day($1::text::date)", day)
        for name in names:
            await database.script(f'ALTER TABLE "{name}" DISABLE TRIGGER USER')
        for table in manifest.tables:
            path = folder / f"{table.name}.copy.gz"
            if await database.copy_in(table.name, table.columns, _chunks(path)) != table.rows:
                raise BackupError(f"{path} does not hold the rows that the manifest says")
        for name in names:
            await database.script(f'ALTER TABLE "{name}" ENABLE TRIGGER USER')
        for sequence, value in manifest.sequences.items():
            await database.fetch("SELECT setval(to_regclass($1), $2)", sequence, value)
    await migrate(url, known, wait_seconds=15.0, say=lambda line: None)


async def _chunks(path: Path) -> AsyncIterator[bytes]:
    """Raises `BackupError` where the file is not what gzip wrote."""
    try:
        with gzip.open(path) as file:
            while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
                yield chunk
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise BackupError(f"{path} is damaged: {error}") from error
