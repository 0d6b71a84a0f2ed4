"""`ServingRows`: what the ledger of servings says, for operators (docs/ledger.md).

Who has something is asked of the sums by day: their number does not grow with how often a file is served.
Only of the day in which a time begins or ends are its servings looked through.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from math import ceil, floor
from typing import Any

from services.gateway.api.admin.serving_types import Got, Serving
from services.gateway.api.admin.subjects import Subject
from shared.ledger.batch import REFUSED, RESULTS
from shared.policy.advisories import About
from shared.postgres.database import Database, Row
from shared.process.threads import BoundedThreads
from shared.protocols import find_protocol, protocol_named
from shared.protocols.package_urls import purl

MOST_FILES = 2000  # of one package or digest: all its versions and files
MOST_OF_ADVISORY = 20_000  # files of a project, of which an advisory may be about some
LATEST = 253_402_214_400.0  # unix seconds, the last midnight of the year 9999
_DAY = 86_400.0

_BY_NAME = "protocol = $2 AND alike = $3 AND ($4 = '' OR version = $4)"
_BY_DIGEST = "sha256 = $2 AND octet_length(sha256) = 32"
_GOT = f" AND EXISTS (SELECT FROM servings_daily d WHERE d.file_id = f.id AND d.result <> {REFUSED})"


def _files(condition: str) -> str:
    """$1 limit."""
    return f"SELECT id FROM serving_files f WHERE {condition} ORDER BY seen_on DESC, id DESC LIMIT $1"  # noqa: S608


def _about(condition: str) -> str:
    """$1 limit."""
    return f"""
    SELECT id, project, version FROM serving_files f
    WHERE protocol = $2 AND alike = $3 AND version <> ''{condition}
    ORDER BY seen_on DESC, id DESC LIMIT $1
    """  # noqa: S608


FILES_ABOUT, GOT_ABOUT = _about(""), _about(_GOT)
FILES_BY_NAME, GOT_BY_NAME = _files(_BY_NAME), _files(_BY_NAME + _GOT)
FILES_BY_DIGEST, GOT_BY_DIGEST = _files(_BY_DIGEST), _files(_BY_DIGEST + _GOT)

# $1 files; $2 to $3 whole days; $4 to $5 and $6 to $7 the parts of days before and after them (unix seconds);
# $8 to $12 the last row of the page before, $13 limit.
WHO = """
WITH parts AS (
    SELECT file_id, client_id, result, code, times, first_at, last_at FROM servings_daily
    WHERE file_id = ANY($1) AND day >= $2 AND day < $3
    UNION ALL
    SELECT file_id, client_id, result, code, times, at, at FROM servings
    WHERE file_id = ANY($1) AND at >= to_timestamp($4) AND at < to_timestamp($5)
    UNION ALL
    SELECT file_id, client_id, result, code, times, at, at FROM servings
    WHERE file_id = ANY($1) AND at >= to_timestamp($6) AND at < to_timestamp($7)
), got AS (
    SELECT file_id, client_id, result, code, sum(times)::bigint AS times, min(first_at) AS first_at,
        max(last_at) AS last_at, (extract(epoch FROM max(last_at)) * 1000000)::bigint AS last_us
    FROM parts GROUP BY file_id, client_id, result, code
), page AS (
    SELECT * FROM got WHERE (last_us, file_id, client_id, result, code)
        < ($8::bigint, $9::integer, $10::integer, $11::integer, $12::text)
    ORDER BY last_us DESC, file_id DESC, client_id DESC, result DESC, code DESC LIMIT $13
)
SELECT p.file_id, p.client_id, p.result, p.code, p.times, p.last_us,
    extract(epoch FROM p.first_at)::float8 AS first_at, extract(epoch FROM p.last_at)::float8 AS last_at,
    c.address, c.token, c.tool, c.version AS tool_version,
    f.protocol, f.project, f.version, f.filename, encode(f.sha256, 'hex') AS sha256
FROM page p JOIN serving_clients c ON c.id = p.client_id JOIN serving_files f ON f.id = p.file_id
ORDER BY p.last_us DESC, p.file_id DESC, p.client_id DESC, p.result DESC, p.code DESC
"""

# $1 since, $2 until, $3 the moment (microseconds) of the last row before, $4 limit; the last moment is whole.
EXPORT = """
SELECT (extract(epoch FROM s.at) * 1000000)::bigint AS us, s.ctid::text AS place,
    extract(epoch FROM s.at)::float8 AS at, s.result, s.cache, s.code, s.times, s.size_bytes,
    c.address, c.token, c.tool, c.version AS tool_version,
    f.protocol, f.project, f.version, f.filename, encode(f.sha256, 'hex') AS sha256
FROM (
    SELECT *, ctid FROM servings
    WHERE at >= to_timestamp($1) AND at < to_timestamp($2)
        AND at > 'epoch'::timestamptz + $3::bigint * interval '1 microsecond'
    ORDER BY at FETCH FIRST ($4) ROWS WITH TIES
) s JOIN serving_clients c ON c.id = s.client_id
JOIN LATERAL (SELECT * FROM serving_files f WHERE f.id = s.file_id OFFSET 0) f ON true -- never all
ORDER BY s.at, s.ctid
"""


class ServingRows:
    """All methods raise `DatabaseUnavailable` and `InvalidData`. Times are unix seconds."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def who_got(
        self, files: Sequence[int], since: float, until: float, after: Sequence[Any] | None, limit: int
    ) -> list[tuple[Got, list[Any]]]:
        """Who got one of these files, or was refused it, the last first, with the key of each."""
        if not files:
            return []
        start = after or (2**62, 0, 0, 0, "")
        rows = await self._database.fetch(WHO, files, *_parts(since, until), *start, limit)
        names = ("last_us", "file_id", "client_id", "result", "code")
        return [(_got(row), [row[name] for name in names]) for row in rows]

    async def affected(
        self, abouts: Sequence[About], threads: BoundedThreads
    ) -> tuple[list[int], list[Subject], bool]:
        """The files that these advisories are about, the versions of which they are, and whether these are
        all."""
        files: dict[int, Subject] = {}
        is_all = True
        for about in abouts:
            of = MOST_OF_ADVISORY, about.protocol, about.project.lower()
            rows = await self._database.fetch(FILES_ABOUT, *of)
            got: list[Row] = []
            if len(rows) > MOST_FILES:  # who is refused may ask for files of any name, and must hide nobody
                got = await self._database.fetch(GOT_ABOUT, *of)
            is_all = is_all and len(rows) < MOST_OF_ADVISORY
            for number, subject in await threads.run(_affected, about, (*got, *rows)):
                files.setdefault(number, subject)
            if len(files) > MOST_FILES:
                is_all = False
                break
        return list(files)[:MOST_FILES], list(dict.fromkeys(files.values())), is_all

    async def files_of(self, subject: Subject) -> tuple[list[int], bool]:
        """Its files, the last seen first, and whether these are all."""
        every, got = FILES_BY_NAME, GOT_BY_NAME
        of: list[str | bytes] = [subject.protocol, subject.alike, subject.version]
        if subject.sha256:
            every, got, of = FILES_BY_DIGEST, GOT_BY_DIGEST, [bytes.fromhex(subject.sha256)]
        rows = await self._database.fetch(every, MOST_FILES + 1, *of)
        is_all = len(rows) <= MOST_FILES
        if not is_all:  # who is refused may ask for files of any name, and must hide nobody
            rows = await self._database.fetch(got, MOST_FILES, *of) + rows
        return list(dict.fromkeys(row["id"] for row in rows))[:MOST_FILES], is_all

    async def servings(
        self, since: float, until: float, after: int, limit: int
    ) -> tuple[list[Serving], int | None]:
        """All servings of a time, the oldest first, after a moment (microseconds; -1: from the first on), and
        the moment after which they go on, None at the end. Never a part of one moment: some may be more than
        `limit`."""
        rows = await self._database.fetch(EXPORT, since, until, after, limit)
        return [_serving(row) for row in rows], rows[-1]["us"] if len(rows) >= limit else None


def _affected(about: About, rows: Sequence[Row]) -> list[tuple[int, Subject]]:
    """Which of these files the advisories on a project are about."""
    names = protocol_named(about.protocol).names
    affects: dict[str, bool] = {}  # by version
    found = []
    for row in rows:
        project, version = row["project"], row["version"]
        if names.named_alike(project) != about.project:  # one that differs by capitals
            continue
        if version not in affects:
            affects[version] = any(each.affects(version, names.version_key) for each in about.advisories)
        if affects[version]:
            found.append((row["id"], Subject(about.protocol, project, version)))
    return found


def _parts(since: float, until: float) -> tuple[date, date, float, float, float, float]:
    """The whole days of a time, and what it has of the days before and after these."""
    first, end = ceil(since / _DAY), floor(until / _DAY)
    if first > end:  # within one day
        return date.max, date.max, since, until, 0.0, 0.0
    return _date(first), _date(end), since, first * _DAY, end * _DAY, until


def _date(number: int) -> date:
    """By its number since 1970."""
    return date(1970, 1, 1) + timedelta(days=number)


def _got(row: Row) -> Got:
    return Got(
        **_common(row), code=row["code"], times=row["times"], first_at=row["first_at"], last_at=row["last_at"]
    )


def _serving(row: Row) -> Serving:
    block, item = row["place"].strip("()").split(",")
    return Serving(
        id=f"{row['us']}-{block}-{item}",
        at=row["at"],
        cache=row["cache"],
        code=row["code"],
        times=row["times"],
        size_bytes=row["size_bytes"],
        **_common(row),
    )


def _common(row: Row) -> dict[str, Any]:
    names = (
        "address",
        "token",
        "tool",
        "tool_version",
        "protocol",
        "project",
        "version",
        "filename",
        "sha256",
    )
    found = {name: row[name] for name in names}
    known = find_protocol(row["protocol"])
    if known is not None:  # rows have the canonical version
        found["version"] = known.names.told_version(row["project"], row["version"], row["filename"])
    return {
        **found,
        "purl": purl(row["protocol"], row["project"], found["version"]),
        "result": RESULTS[row["result"]],
    }
