"""Search: packages by a part of their name, a file by its digest, a package by its URL."""

from __future__ import annotations

import asyncio
from typing import Annotated

import msgspec
from litestar import get
from litestar.params import Parameter

from services.gateway.api.admin.subjects import read_subject
from services.gateway.api.catalogue_rows import Catalogue
from shared.digests import is_sha256
from shared.errors import InvalidParameter
from shared.postgres.database import Database
from shared.protocols import PROTOCOLS
from shared.protocols.package_urls import purl

MOST_FOUND = 50  # of one protocol
_LONGEST = 512
_SCANNED_BYTES = 32 * 1024**2  # of the table of packages: up to so many all names are looked through

SIZE = "SELECT pg_relation_size('packages')::bigint AS packages"
CONTAINING = """
SELECT protocol, name, extract(epoch FROM created_at)::float8 AS first_seen_at
FROM packages WHERE strpos(name, $1) > 0 ORDER BY strpos(name, $1), length(name), name LIMIT $2
"""


class Hit(msgspec.Struct, frozen=True):
    """A package that was found."""

    protocol: str
    name: str
    purl: str
    first_seen_at: float


class Found(msgspec.Struct, frozen=True):
    """Packages by how well they fit: of this name, that begin so, that contain it. `sha256`: what was asked
    for is the digest of a stored file. `complete` false: of so many packages only beginnings were looked
    for."""

    items: list[Hit]
    sha256: str = ""
    complete: bool = True


@get("/api/v1/search", summary="Find packages and files", tags=["packages"])
async def search(
    database: Database,
    catalogue: Catalogue,
    q: Annotated[str, Parameter(description="A part of a name, a package URL, or a SHA-256")],
) -> Found:
    """Among what is known here; no upstream is asked."""
    text = q.strip()
    if len(text) > _LONGEST or not text.isprintable():
        raise InvalidParameter(f"q: expected at most {_LONGEST} printable characters")
    if not text:
        return Found([])
    digest = text.removeprefix("sha256:").lower()
    if is_sha256(digest):
        return Found([], digest if await catalogue.artifact(digest) is not None else "")
    protocols = [each.name for each in PROTOCOLS]
    if text.startswith("pkg:"):
        subject = read_subject(text)
        text, protocols = subject.project, [subject.protocol]
    begins = await asyncio.gather(*(_begins(catalogue, each, text) for each in protocols))
    found = {(each.protocol, each.name): each for hits in begins for each in hits}
    row = await database.fetchrow(SIZE)
    complete = row is not None and row["packages"] <= _SCANNED_BYTES
    if complete:
        for each in await database.fetch(CONTAINING, text.lower(), MOST_FOUND):
            if each["protocol"] in protocols:
                hit = _hit(each["protocol"], each["name"], each["first_seen_at"])
                found.setdefault((hit.protocol, hit.name), hit)
    wanted = text.lower()
    items = sorted(found.values(), key=lambda each: (each.name != wanted, not each.name.startswith(wanted)))
    return Found(items, complete=complete)


async def _begins(catalogue: Catalogue, protocol: str, text: str) -> list[Hit]:
    known = next(each for each in PROTOCOLS if each.name == protocol)
    start = known.names.canonical_name(text)
    rows = await catalogue.packages(protocol, start, None, MOST_FOUND)
    return [_hit(protocol, each.name, each.first_seen_at) for each, _ in rows]


def _hit(protocol: str, name: str, first_seen_at: float) -> Hit:
    return Hit(protocol, name, purl(protocol, name, ""), first_seen_at)


HANDLERS = [search]
