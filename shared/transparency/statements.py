"""`StatementRows`: which envelope says what of a file, and how far the log's entries are stated.

All methods raise `DatabaseUnavailable` (passing) and `InvalidData`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from shared.policy.evidence import Publisher
from shared.postgres.database import Database

Named = tuple[str, str, str]  # protocol, project, a digest (hex)
MOST = 100  # statements of one answer

STATED = "SELECT stated, size FROM log_state"

# Of stored files by digest, what the policy has to know of them; times in unix seconds, 0: unknown.
FACTS = """
SELECT protocol, project, file_id, filename, encode(sha256, 'hex') AS sha256,
    extract(epoch FROM created_at)::float8 AS stored_at,
    coalesce(extract(epoch FROM published), 0)::float8 AS published, judged
FROM cached_urls WHERE sha256 = ANY ($1) AND role = 'file'
"""

# $1, $2 entries are stated from and to; of each statement $3 SHA256 of the file, $4 entry, $5 to $7 whose,
# $8 object.
STATE = """
WITH raised AS (
    UPDATE log_state SET stated = $2 WHERE stated = $1 AND size >= $2 RETURNING true AS done
), made AS (
    INSERT INTO statements (sha256, leaf, protocol, project, version, object)
    SELECT t.* FROM raised,
        unnest($3::bytea[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::bytea[]) AS t
    ON CONFLICT DO NOTHING
)
SELECT EXISTS (SELECT FROM raised)
"""

OF_FILE = f"SELECT object FROM statements WHERE sha256 = $1 ORDER BY leaf DESC LIMIT {MOST}"  # noqa: S608
OF_VERSION = f"""
SELECT object FROM statements WHERE protocol = $1 AND project = $2 AND version = $3
ORDER BY leaf DESC LIMIT {MOST}
"""  # noqa: S608 - of constants

OF_FILES = """
SELECT DISTINCT ON (protocol, project, version, sha256)
    protocol, project, version, encode(sha256, 'hex') AS sha256, object
FROM statements WHERE sha256 = ANY ($1) ORDER BY protocol, project, version, sha256, leaf DESC
"""
OF_BUILD = "SELECT object FROM build_statements WHERE build = $1 AND kind = $2"


# $1 to $3: protocols, projects and digests (hex), by columns.
PUBLISHERS = """
SELECT p.protocol, p.project, p.digest, p.kind, p.repository, p.workflow
FROM unnest($1::text[], $2::text[], $3::text[]) AS i(protocol, project, digest)
    JOIN provenances p USING (protocol, project, digest)
WHERE p.status = 'verified'
"""


class Facts(msgspec.Struct, frozen=True):
    """Of a stored file, as `shared/policy/verdict.py` `Facts` has them."""

    protocol: str
    project: str
    file_id: str
    filename: str
    sha256: str
    stored_at: float
    published: float
    judged: str


class Made(msgspec.Struct, frozen=True):
    """A statement whose object is stored."""

    sha256: bytes  # of the file
    leaf: int
    protocol: str
    project: str
    version: str
    object: bytes  # SHA256 of the envelope


class StatementRows:
    """Over a database that others open and close."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def stated(self) -> tuple[int, int]:
        """Entries before the first are stated; the second is how many the log has."""
        row = await self._database.fetchrow(STATED)
        assert row is not None
        return int(row["stated"]), int(row["size"])

    async def facts(self, digests: Sequence[bytes]) -> list[Facts]:
        """Of all names that these bytes are stored under."""
        return [Facts(**dict(row)) for row in await self._database.fetch(FACTS, digests)]

    async def publishers(self, wanted: Sequence[Named]) -> dict[Named, str]:
        """Of bytes whose attestations were verified: whom these name, for people."""
        columns = [list(column) for column in zip(*wanted, strict=True)] if wanted else [[], [], []]
        return {
            (row["protocol"], row["project"], row["digest"]): str(
                Publisher(row["kind"], row["repository"], row["workflow"])
            )
            for row in await self._database.fetch(PUBLISHERS, *columns)
        }

    async def state(self, first: int, end: int, made: Sequence[Made]) -> bool:
        """Name statements of the entries from `first` up to but excluding `end`. False, and nothing is
        written, where others have done so."""
        columns: list[list[Any]] = [[] for _ in Made.__struct_fields__]
        for each in made:
            for column, value in zip(columns, msgspec.structs.astuple(each), strict=True):
                column.append(value)
        row = await self._database.fetchrow(STATE, first, end, *columns)
        return row is not None and bool(row[0])

    async def of_file(self, sha256: str) -> list[str]:
        """The envelopes (SHA256) on a file with this digest (hex), the newest first, at most `MOST`."""
        return _objects(await self._database.fetch(OF_FILE, bytes.fromhex(sha256)))

    async def of_files(self, digests: Sequence[bytes]) -> dict[tuple[str, str, str, str], str]:
        """Of files with these digests, the newest envelope (SHA256) by protocol, project, version, digest."""
        rows = await self._database.fetch(OF_FILES, digests)
        return {
            (row["protocol"], row["project"], row["version"], row["sha256"]): bytes(row["object"]).hex()
            for row in rows
        }

    async def of_version(self, protocol: str, project: str, version: str) -> list[str]:
        """Those on files of a version."""
        return _objects(await self._database.fetch(OF_VERSION, protocol, project, version))

    async def of_build(self, id: str, kind: str) -> str:
        """The envelope (SHA256) of this kind about a sealed build; "" where there is none."""
        return next(iter(_objects(await self._database.fetch(OF_BUILD, id, kind))), "")


def _objects(rows: Sequence[Any]) -> list[str]:
    return [bytes(row["object"]).hex() for row in rows]
