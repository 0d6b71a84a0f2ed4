"""Applies the numbered SQL files: one runner at a time, each file in its own transaction, drift refused.

Applied files are never edited, only followed: their checksums are kept. A file that begins with `-- no
transaction` is for CREATE INDEX CONCURRENTLY, which holds up nobody's writes: its statements run one by one,
and from the first again after one that failed, so each must be repeatable.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from shared.errors import OrchardError
from shared.errors.passing import DatabaseUnavailable
from shared.postgres.connection import Session, session

_NAME = re.compile(r"^(\d{4})_([a-z0-9_]+)\.sql$")
NO_TRANSACTION = "-- no transaction\n"
_END = re.compile(r";[ \t]*\n")
FOLDER = Path(__file__).parent
REWORDED: Mapping[str, str] = {
    "0007_access": "35d574a48a200274600c686fafa5c91a313995d25ac4d1356560b92b618337e1",
    "0008_ensures": "a77c1dda7b25ffde50bf12948594c646e61c1508f2b2f241e54d77476bf6e7b4",
}
"""Checksums of release 0.1.0, in whose files comments name other paths; the SQL is the same."""


class Migration(msgspec.Struct, frozen=True):
    """One file. `checksum` is the SHA256 hex of its bytes."""

    version: int
    name: str
    sql: str
    checksum: str

    def is_that(self, checksum: str) -> bool:
        """Whether an applied file with this checksum was this one."""
        return checksum in (self.checksum, REWORDED.get(self.name))


def read_migrations(folder: Path = FOLDER) -> list[Migration]:
    """All files in order. Raises `ValueError` for a misnamed file, a gap or a number used twice."""
    found = []
    for path in sorted(folder.glob("*.sql")):
        match = _NAME.match(path.name)
        if match is None:
            raise ValueError(f"{path.name}: a migration is named NNNN_words.sql")
        data = path.read_bytes()
        found.append(Migration(int(match[1]), path.stem, data.decode(), hashlib.sha256(data).hexdigest()))
    for expected, migration in enumerate(found, start=1):
        if migration.version != expected:
            raise ValueError(f"{migration.name}: expected number {expected:04d}")
    return found


LOCK_KEY = 0x0_0C4A_4D19  # any constant that no other program uses; one per database
Say = Callable[[str], None]

_TABLE = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version    integer PRIMARY KEY,
    name       text NOT NULL,
    checksum   text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""


class DriftError(Exception):
    """The database was made by other files than these: nothing was changed."""


class MigrationFailed(Exception):
    """A file's SQL failed; its transaction was rolled back, the files before it stand."""


async def migrate(url: str, migrations: Sequence[Migration], *, wait_seconds: float, say: Say) -> int:
    """How many files were applied now. `say` gets one line per step.

    Waits up to `wait_seconds` for the server to come up, and as long as it takes for another
    runner (advisory lock). Raises `DatabaseUnavailable`, `ConfigurationError`, `DriftError`,
    `MigrationFailed`.
    """
    await _wait_for_server(url, wait_seconds, say)
    async with session(url) as database:
        await _lock(database, say)
        await database.script(_TABLE)
        applied = await _applied(database)
        pending = pending_migrations(migrations, applied)
        newest = max(applied, default=0)
        if newest > len(migrations):
            say(f"the database is newer ({newest:04d}) than these files ({len(migrations):04d})")
        for migration in pending:
            await _apply(database, migration, say)
        return len(pending)


def pending_migrations(migrations: Sequence[Migration], applied: dict[int, str]) -> list[Migration]:
    """Those not applied yet. `applied` maps version to checksum. Raises `DriftError`."""
    for migration in migrations:
        known = applied.get(migration.version)
        if known is not None and not migration.is_that(known):
            raise DriftError(f"{migration.name} was applied with other contents: add a new file instead")
    pending = [migration for migration in migrations if migration.version not in applied]
    if pending and applied and pending[0].version < max(applied):
        raise DriftError(f"{pending[0].name} was never applied, but a later one was")
    return pending


async def _wait_for_server(url: str, wait_seconds: float, say: Say) -> None:
    until = time.monotonic() + wait_seconds
    announced = False
    while True:
        try:
            async with session(url) as database:
                await database.fetch("SELECT 1")
                return
        except DatabaseUnavailable:
            if time.monotonic() >= until:
                raise
            if not announced:
                say(f"waiting up to {wait_seconds:g} s for PostgreSQL")
                announced = True
            await asyncio.sleep(0.2)


async def _lock(database: Session, say: Say) -> None:
    """Held until the connection closes, so a killed runner leaves no lock behind. Asked for again and again:
    CREATE INDEX CONCURRENTLY waits for every statement, and would for one that waits for its own runner."""
    announced = False
    while not (await database.fetch("SELECT pg_try_advisory_lock($1)", LOCK_KEY))[0][0]:
        if not announced:
            say("waiting for another migration run")
            announced = True
        await asyncio.sleep(0.2)


async def _applied(database: Session) -> dict[int, str]:
    rows = await database.fetch("SELECT version, checksum FROM schema_migrations ORDER BY version")
    return {row["version"]: row["checksum"] for row in rows}


async def _apply(database: Session, migration: Migration, say: Say) -> None:
    started = time.perf_counter()
    try:
        if migration.sql.startswith(NO_TRANSACTION):
            for statement in filter(str.strip, _END.split(migration.sql)):
                await database.script(statement)
            await _note(database, migration)
        else:
            async with database.transaction():
                await database.script(migration.sql)
                await _note(database, migration)
    except OrchardError as error:
        raise MigrationFailed(f"{migration.name}: {error.__cause__ or error}") from error
    say(f"applied {migration.name} in {(time.perf_counter() - started) * 1000:.0f} ms")


async def _note(database: Session, migration: Migration) -> None:
    await database.fetch(
        "INSERT INTO schema_migrations (version, name, checksum) VALUES ($1, $2, $3)",
        migration.version,
        migration.name,
        migration.checksum,
    )
