"""Search: packages by a part of their name, or as their protocols' people write one version; a package by its
URL, a file by its digest."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Annotated

import msgspec
from litestar import get
from litestar.params import Parameter

from services.gateway.api.admin.subjects import read_subject, written_version
from services.gateway.api.catalogue_rows import LAST, Catalogue
from services.gateway.api.parameters import Cursor, cursor_of, read_cursor
from shared.digests import is_sha256
from shared.errors import InvalidParameter
from shared.postgres.database import Database, Row
from shared.protocols import PROTOCOLS
from shared.protocols.package_urls import purl

SHOWN = 50  # of a page
MOST_FOUND = 1000  # of all pages: who looks further types more of the name
_LONGEST = 512
_SCANNED_BYTES = 32 * 1024**2  # of the table of packages: up to so many all names are looked through

# As `folded` does it, and the index `packages_by_spelling`.
_FOLDED = """translate(lower(name COLLATE "C"), '_.', '--')"""

SIZE = "SELECT pg_relation_size('packages')::bigint AS packages"
BEGINNING = f"""
SELECT protocol, name, extract(epoch FROM created_at)::float8 AS first_seen_at
FROM packages WHERE protocol = $1 AND {_FOLDED} >= $2 AND {_FOLDED} < $3 ORDER BY {_FOLDED} LIMIT $4
"""  # noqa: S608 - of constants
# Without `translate`, which takes twice as long as all else: a pattern has `_` for each separator.
CONTAINING = """
SELECT protocol, name, extract(epoch FROM created_at)::float8 AS first_seen_at
FROM packages WHERE lower(name COLLATE "C") LIKE ANY ($1::text[]) AND protocol = ANY ($2::text[])
ORDER BY length(name), name COLLATE "C", protocol LIMIT $3
"""


class Hit(msgspec.Struct, frozen=True):
    """A package that was found."""

    protocol: str
    name: str
    purl: str  # with the version, if one was asked for
    first_seen_at: float
    version: str = ""  # that was asked for, of a package of exactly that name
    exact: bool = False  # it has the name that was asked for, in whatever spelling


class Found(msgspec.Struct, frozen=True):
    """Packages by how well they fit: of this name, that begin so, that contain it. `sha256`: what was asked
    for is the digest of a stored file. `complete` false: of so many packages only beginnings were looked
    for. `next`: the cursor of the page after this one; "": there is none, or nobody reads so far."""

    items: list[Hit]
    sha256: str = ""
    complete: bool = True
    next: str = ""
    first: int = 0  # the number of hits before this page


class _Asked(msgspec.Struct, frozen=True):
    """What the text may mean in one protocol."""

    protocol: str
    name: str  # canonical
    version: str
    spellings: frozenset[str]  # of the name, folded


@get("/api/v1/search", summary="Find packages and files", tags=["packages"])
async def search(
    database: Database,
    catalogue: Catalogue,
    q: Annotated[str, Parameter(description="A part of a name, name@version, a package URL, or a SHA-256")],
    cursor: Cursor = "",
) -> Found:
    """Among what is known here, whatever its capitals and separators: fifty on a page. Asks no upstream."""
    after = read_cursor(cursor, int)
    if after is not None and not 0 <= after[0] < MOST_FOUND:
        raise InvalidParameter("cursor: not one that this list has given")
    return await find(database, catalogue, q.strip(), after[0] if after is not None else 0)


async def find(database: Database, catalogue: Catalogue, text: str, start: int = 0) -> Found:
    """See `search`; `start`: so many hits were on the pages before. Raises `InvalidParameter`,
    `DatabaseUnavailable`.

    Each statement has the order of the hits that it finds, so that as many rows of each as are shown up to
    the end of a page hold all that is shown.
    """
    if len(text) > _LONGEST or not text.isprintable():
        raise InvalidParameter(f"q: expected at most {_LONGEST} printable characters")
    if not text:
        return Found([])
    digest = text.removeprefix("sha256:").lower()
    if is_sha256(digest):
        return Found([], digest if await catalogue.artifact(digest) is not None else "")
    asked = {each.protocol: each for each in _meant(text)}
    most = start + SHOWN + 1
    rows = [
        row
        for found in await asyncio.gather(*(_begin(database, each, most) for each in asked.values()))
        for row in found
    ]
    row = await database.fetchrow(SIZE)
    complete = row is not None and row["packages"] <= _SCANNED_BYTES
    wanted = {each for one in asked.values() for each in one.spellings}
    if complete:
        alike = await database.fetch(CONTAINING, [_containing(each) for each in wanted], [*asked], most)
        rows += [row for row in alike if any(each in folded(row["name"]) for each in wanted)]
    found = {(row["protocol"], row["name"]): _hit(asked[row["protocol"]], row) for row in rows}
    hits = sorted(found.values(), key=lambda each: _place(each, asked[each.protocol]))
    items, end = hits[start : start + SHOWN], start + SHOWN
    goes_on = cursor_of([end]) if len(hits) > end and end < MOST_FOUND else ""
    return Found(items, complete=complete, next=goes_on, first=start)


def _place(hit: Hit, asked: _Asked) -> tuple[bool, bool, int, str, str, str]:
    """What begins so is in the order of `BEGINNING`, all else in that of `CONTAINING`."""
    begins = folded(hit.name).startswith(tuple(asked.spellings))
    length = 0 if begins else len(hit.name)
    return (
        not hit.exact,
        not begins,
        length,
        folded(hit.name) if begins else hit.name,
        hit.name,
        hit.protocol,
    )


def folded(name: str) -> str:
    """A name without what people spell one way or the other: capitals (of ASCII) and separators."""
    return name.encode().lower().decode().translate(str.maketrans("_.", "--"))


def _meant(text: str) -> Iterable[_Asked]:
    """Of each protocol that it may be of."""
    if text.startswith("pkg:"):
        subject = read_subject(text)
        yield _asked(subject.protocol, subject.project, subject.project, written_version(text, subject))
        return
    for protocol in PROTOCOLS:
        name, version = protocol.names.named_version(text)
        if version and not protocol.names.is_version(version):
            name, version = text, ""
        yield _asked(protocol.name, name, protocol.names.canonical_name(name), version)


def _asked(protocol: str, written: str, name: str, version: str) -> _Asked:
    return _Asked(protocol, name, version, frozenset((folded(written), folded(name))))


async def _begin(database: Database, asked: _Asked, most: int) -> list[Row]:
    found = []
    for start in asked.spellings:
        found += await database.fetch(BEGINNING, asked.protocol, start, start + LAST, most)
    return found


def _containing(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("%", "\\%")  # of LIKE
    return f"%{escaped.replace('-', '_')}%"


def _hit(asked: _Asked, row: Row) -> Hit:
    protocol, name = row["protocol"], row["name"]
    exact = folded(name) in asked.spellings
    version = asked.version if exact else ""
    return Hit(protocol, name, purl(protocol, name, version), row["first_seen_at"], version, exact)


HANDLERS = [search]
