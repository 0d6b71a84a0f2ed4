"""`imported_files`, and the sources `import` and `import-own`. Each call is one round trip."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol
from urllib.parse import urlsplit

import msgspec

from shared.protocols.roles.importing import Imported, Listed

HOST = "imported.invalid"
"""Where these sources are said to be. No name ends in `.invalid` (RFC 6761 §6.4): a fetcher of before, which
knows nothing of imports, finds nobody there, and says that its upstream is away."""
SOURCE, OWN = "import", "import-own"
PRIORITY = 1_000_000  # after all that have a network
MERGED = "import"  # both are one owner: a name that is bound later stays where it is pinned

# Columns: path, project, version, filename, sha256, size, digests, about. Gives what stands under each path.
_STORE_IMPORTED = """
WITH input AS (
    SELECT * FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::bytea[], $7::bigint[],
                         $8::text[], $9::bytea[])
        AS t(path, project, version, filename, sha256, size_bytes, digests, about)
), made AS (
    INSERT INTO imported_files
        (protocol, path, project, version, filename, sha256, size_bytes, digests, about)
    SELECT $1, path, project, version, filename, sha256, size_bytes, digests::jsonb, about FROM input
    ORDER BY path
    ON CONFLICT DO NOTHING
    RETURNING path, sha256
)
SELECT path, encode(sha256, 'hex') AS sha256, true AS new FROM made
UNION ALL
SELECT f.path, encode(f.sha256, 'hex'), false FROM imported_files f JOIN input i USING (path)
WHERE f.protocol = $1
"""
_STANDING_IMPORTED = """
SELECT path, encode(sha256, 'hex') AS sha256 FROM imported_files WHERE protocol = $1 AND project = ANY($2)
"""
_IMPORTED = """
SELECT path, project, version, filename, encode(sha256, 'hex') AS sha256, size_bytes, digests::text, about
FROM imported_files
"""
_IMPORTED_OF_PROJECT = _IMPORTED + "WHERE protocol = $1 AND project = $2 ORDER BY path"
_IMPORTED_AT_PATH = _IMPORTED + "WHERE protocol = $1 AND path = $2"

# $1: protocol, $2: project, $3: version; "" is any.
_WHICH = "($1 = '' OR protocol = $1) AND ($2 = '' OR project = $2) AND ($3 = '' OR version = $3)"
_KEPT = f"""
SELECT protocol, project, count(*) AS files, sum(size_bytes)::bigint AS bytes,
       array_agg(DISTINCT version ORDER BY version) AS versions
FROM imported_files WHERE {_WHICH} GROUP BY protocol, project ORDER BY protocol, project
"""  # noqa: S608 - no value is in it
_FORGET_IMPORTED = f"DELETE FROM imported_files WHERE {_WHICH}"  # noqa: S608 - no value is in it

# Columns: protocol, name, address, patterns. Nothing where another source has this name.
_OFFER_IMPORTED = """
INSERT INTO upstream_sources AS s (protocol, name, url, priority, origin, include, options)
VALUES ($1, $2, $3, $4, 'operator', $5, $6::jsonb)
ON CONFLICT (protocol, name) DO UPDATE
SET include = ARRAY(SELECT DISTINCT unnest(s.include || excluded.include) ORDER BY 1)
WHERE s.url = excluded.url
RETURNING id
"""
# Pages that were made before know nothing of what came now.
_RAISE_REVISION = "SELECT raise_source_revision($1)"


class Rows(Protocol):
    """A database, or one session with it."""

    async def fetch(self, query: str, *args: Any) -> Sequence[Any]:
        """All rows that a statement gives."""


class Kept(msgspec.Struct, frozen=True):
    """What was imported of one project."""

    protocol: str
    project: str
    files: int
    bytes: int
    versions: list[str]


def is_import(url: str) -> bool:
    """Whether a source at this address is one of these."""
    return urlsplit(url).hostname == HOST


def address_of(protocol: str) -> str:
    """The address of the source of a protocol, with its slash."""
    return f"https://{HOST}/{protocol}/"


async def standing(database: Rows, protocol: str, projects: Sequence[str]) -> dict[str, str]:
    """Path → SHA256 of what was imported of these projects before."""
    found = await database.fetch(_STANDING_IMPORTED, protocol, list(projects))
    return {row["path"]: row["sha256"] for row in found}


async def store(database: Rows, protocol: str, files: Sequence[Imported]) -> dict[str, str]:
    """Path → SHA256 of what stands under each file's path from now on: what came first."""
    listed = [each.listed for each in files]
    rows = await database.fetch(
        _STORE_IMPORTED,
        protocol,
        [each.path for each in listed],
        [each.project for each in listed],
        [each.version for each in listed],
        [each.filename for each in listed],
        [bytes.fromhex(each.sha256) for each in files],
        [each.size_bytes for each in files],
        [msgspec.json.encode(each.digests).decode() for each in files],
        [each.about for each in listed],
    )
    return {row["path"]: row["sha256"] for row in rows}


async def of_project(database: Rows, protocol: str, project: str) -> list[Imported]:
    """All imported files of a project, by path."""
    return [_imported(row) for row in await database.fetch(_IMPORTED_OF_PROJECT, protocol, project)]


async def at_path(database: Rows, protocol: str, path: str) -> Imported | None:
    """The file at a path below the source's address."""
    rows = await database.fetch(_IMPORTED_AT_PATH, protocol, path)
    return _imported(rows[0]) if rows else None


async def kept(database: Rows, protocol: str, project: str, version: str) -> list[Kept]:
    """What was imported, by project; each "" is any."""
    return [Kept(**row) for row in await database.fetch(_KEPT, protocol, project, version)]


async def forget(database: Rows, protocol: str, project: str, version: str) -> None:
    """Have it served no more: pages are made anew without it. Its objects are swept or evicted some day; a
    file that was asked for stays at its address, as with each source that lacks a file by now."""
    await database.fetch(_FORGET_IMPORTED, protocol, project, version)
    await database.fetch(_RAISE_REVISION, protocol)


async def offer(database: Rows, protocol: str, own: Sequence[str]) -> str:
    """Has the sources of a protocol serve what was imported; `own`: patterns of names that are bound to them.

    Returns the name of a source that stands in the way; "" for none.
    """
    address, options = address_of(protocol), msgspec.json.encode({"merge": MERGED}).decode()
    for name, patterns in ((SOURCE, []), (OWN, list(own))):
        if name == OWN and not patterns:
            continue
        if not await database.fetch(_OFFER_IMPORTED, protocol, name, address, PRIORITY, patterns, options):
            return name
    await database.fetch(_RAISE_REVISION, protocol)
    return ""


def _imported(row: Any) -> Imported:
    listed = Listed(row["project"], row["version"], row["filename"], row["path"], bytes(row["about"]))
    digests = msgspec.json.decode(row["digests"], type=dict[str, str])
    return Imported(listed, row["sha256"], row["size_bytes"], digests)
