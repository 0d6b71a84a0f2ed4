"""The rows of a large installation, made by the server itself: what they are, and how many.

Of `rows` artifacts half are files and half their metadata; ten files a package. A hundredth of all has its
bytes in the object store. Names follow from numbers, so that what asks for them needs no list.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from shared.migrations.runner import migrate, read_migrations
from shared.postgres.connection import Session, session

FORMAT = 3  # of what is made: another number makes it anew
PROTOCOLS = ("pypi", "npm")  # packages with even numbers, with odd ones
_STATEMENTS = Path(__file__).with_name("rows.sql")
# Filled without indexes and keys, which are made afterwards: one by one takes hours.
_LARGE = (
    "packages", "artifacts", "cached_urls", "artifact_dependencies", "index_documents", "project_pins",
    "artifact_uses", "absences", "resolutions", "serving_files",
)  # fmt: skip


class Sizes(msgspec.Struct, frozen=True):
    """How much of everything there is."""

    rows: int

    @property
    def files(self) -> int:
        return self.rows // 2

    @property
    def packages(self) -> int:
        """As many pages, and page heads."""
        return max(1, self.rows // 10)

    @property
    def bodies(self) -> int:
        """Large bodies of pages, and stored files: objects."""
        return max(1, self.rows // 100)

    @property
    def absences(self) -> int:
        return min(220_000, max(2, self.rows // 20))


def digest(kind: str, number: int) -> bytes:
    """The digest of artifact ("a"), document ("d") or body ("v") number so-and-so, as rows.sql makes it."""
    halves = (f"{kind}{half}{number}".encode() for half in "xy")
    return b"".join(hashlib.md5(half, usedforsecurity=False).digest() for half in halves)


def package(number: int) -> tuple[str, str]:
    """Protocol and name."""
    return PROTOCOLS[number % 2], f"package-{number:07d}"


async def make_rows(url: str, sizes: Sizes, *, wait_seconds: float = 30.0) -> None:
    """Migrates the database and fills it, unless it holds these rows already; statistics are of now."""
    await migrate(url, read_migrations(), wait_seconds=wait_seconds, say=lambda line: print(f"  {line}"))
    async with session(url) as database:
        # As the trigger does for whoever adds a source.
        await database.script(
            "INSERT INTO source_revisions VALUES ('pypi', 1), ('npm', 1) ON CONFLICT DO NOTHING"
        )
        if await database.fetch("SELECT FROM packages LIMIT 1"):
            return
        await database.script("SET session_replication_role = replica; SET maintenance_work_mem = '512MB'")
        async with _without_indexes(database):
            for statement in filter(str.strip, _STATEMENTS.read_text().split(";\n")):
                for name in ("rows", "packages", "absences"):
                    statement = statement.replace(f":{name}", str(getattr(sizes, name)))
                began = time.perf_counter()
                await database.script(statement)
                if inserted := re.search(r"INSERT INTO (\w+)", statement):
                    _say(inserted[1], began)
        await database.script("VACUUM (ANALYZE)")


def _say(what: str, began: float) -> None:
    if (seconds := time.perf_counter() - began) > 1:
        print(f"  {what} made in {seconds:.0f} s", flush=True)


@asynccontextmanager
async def _without_indexes(database: Session) -> AsyncIterator[None]:
    large = ", ".join(f"'{each}'::regclass" for each in _LARGE)
    constraints = await database.fetch(
        "SELECT conname, conrelid::regclass::text AS of, pg_get_constraintdef(oid) AS definition, contype "
        f"FROM pg_constraint WHERE (contype IN ('f', 'p', 'u') AND conrelid IN ({large})) "
        f"OR (contype = 'f' AND confrelid IN ({large})) ORDER BY contype <> 'f'"
    )
    indexes = await database.fetch(
        f"SELECT indexrelid::regclass::text AS name, pg_get_indexdef(indexrelid) AS definition FROM pg_index "
        f"WHERE indrelid IN ({large}) AND NOT EXISTS "
        "(SELECT FROM pg_constraint WHERE conindid = indexrelid AND contype <> 'f')"
    )
    for each in constraints:
        await database.script(f"ALTER TABLE {each['of']} DROP CONSTRAINT {each['conname']}")
    for each in indexes:
        await database.script(f"DROP INDEX {each['name']}")
    yield
    again = [(each["conname"], _constraint(each)) for each in reversed(constraints)]  # keys first
    again += [(each["name"], each["definition"]) for each in indexes]
    for name, statement in again:
        began = time.perf_counter()
        await database.script(statement)
        _say(name, began)


def _constraint(row: Any) -> str:
    unchecked = " NOT VALID" if row["contype"] == b"f" else ""
    return f"ALTER TABLE {row['of']} ADD CONSTRAINT {row['conname']} {row['definition']}{unchecked}"
