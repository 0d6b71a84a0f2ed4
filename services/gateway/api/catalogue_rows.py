"""`Catalogue`: what the read API lists, page by page. Each method is one statement, `dependents` some.

Pages go on after the last row of the one before (keyset), so that the thousandth costs what the
first does and rows that appear meanwhile shift nothing.
"""

from __future__ import annotations

from typing import Any

from services.gateway.api.types import Artifact, ArtifactName, DependencyItem, Dependent, Package, PackageFile
from shared.models import FileName
from shared.postgres.database import Database, Row
from shared.protocols import find_protocol
from shared.protocols.package_urls import purl

MOST_NAMES = 100

ARTIFACT = """
SELECT a.sha256, a.size_bytes, a.content_type, a.name, a.version, a.requires_python, a.extras,
       a.extraction_state, a.extraction_reason, extract(epoch FROM a.created_at)::float8 AS first_seen_at,
       u.protocol, u.project, u.file_id, u.filename, u.role, coalesce(s.name, r.name, '') AS source,
       u.upstream_url, coalesce(extract(epoch FROM u.upstream_modified), 0)::float8 AS modified,
       extract(epoch FROM u.created_at)::float8 AS named_at
FROM artifacts a
JOIN cached_urls u ON u.sha256 = a.sha256
LEFT JOIN upstream_sources s ON s.id = u.source_id
LEFT JOIN removed_sources r ON r.id = u.source_id
WHERE a.sha256 = $1
ORDER BY u.created_at, u.protocol, u.project, u.file_id, u.filename
LIMIT $2
"""

DEPENDENCIES = """
SELECT position, requirement, name, specifier, marker, extras, optional, kind
FROM artifact_dependencies WHERE sha256 = $1 AND position > $2
ORDER BY position LIMIT $3
"""

# By (name, sha256) of the index; a file that is stored under several names counts under the first. Protocols
# share names, so what is read is bounded, not what is found: a row without a project is another protocol's.
DEPENDENTS = """
SELECT d.sha256, d.position, d.requirement, d.optional, d.kind, u.project, u.filename, a.version
FROM (
    SELECT sha256, position, requirement, optional, kind FROM artifact_dependencies
    WHERE name = $2 AND (sha256, position) > ($3, $4) ORDER BY sha256, position LIMIT $5
) d
JOIN artifacts a ON a.sha256 = d.sha256
LEFT JOIN LATERAL (
    SELECT project, filename FROM cached_urls u
    WHERE u.sha256 = d.sha256 AND u.protocol = $1 AND u.role = 'file'
    ORDER BY u.created_at, u.project, u.filename LIMIT 1
) u ON true
ORDER BY d.sha256, d.position
"""
LOOKED_AT = 500  # rows of `DEPENDENTS` in a statement
LOOKS = 8  # statements of one page

PACKAGES = """
SELECT name, extract(epoch FROM created_at)::float8 AS first_seen_at
FROM packages
WHERE protocol = $1 AND name COLLATE "C" > $2 AND name COLLATE "C" >= $3 AND name COLLATE "C" < $4
ORDER BY name COLLATE "C" LIMIT $5
"""

FILES = """
SELECT u.filename, u.file_id, a.sha256, a.size_bytes, a.version, a.extraction_state,
       extract(epoch FROM u.created_at)::float8 AS first_seen_at
FROM cached_urls u JOIN artifacts a ON a.sha256 = u.sha256
WHERE u.protocol = $1 AND u.project = $2 AND u.role = 'file' AND (u.file_id, u.filename) > ($3, $4)
ORDER BY u.file_id, u.filename LIMIT $5
"""

LAST = "\U0010ffff"  # sorts after every name


class Catalogue:
    """All methods raise `DatabaseUnavailable` or `InvalidData`; `after` is the key of the last item of
    the page before, as the method gave it, None for the first page."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def artifact(self, sha256: str) -> Artifact | None:
        """A stored file with the names it was served under, or None."""
        rows = await self._database.fetch(ARTIFACT, bytes.fromhex(sha256), MOST_NAMES)
        if not rows:
            return None
        first = rows[0]
        return Artifact(
            sha256=sha256,
            size_bytes=first["size_bytes"],
            content_type=first["content_type"],
            name=first["name"],
            version=first["version"],
            requires_python=first["requires_python"],
            extras=list(first["extras"]),
            extraction_state=first["extraction_state"],
            extraction_reason=first["extraction_reason"],
            first_seen_at=first["first_seen_at"],
            names=[_name(row) for row in rows],
        )

    async def dependencies(
        self, sha256: str, after: list[Any] | None, limit: int
    ) -> list[tuple[DependencyItem, list[Any]]]:
        """Declared dependencies with their keys."""
        position = after[0] if after else -1
        rows = await self._database.fetch(DEPENDENCIES, bytes.fromhex(sha256), position, limit)
        return [
            (DependencyItem(**{**dict(row), "extras": list(row["extras"])}), [row["position"]])
            for row in rows
        ]

    async def dependents(
        self, protocol: str, name: str, after: list[Any] | None, limit: int
    ) -> tuple[list[tuple[Dependent, list[Any]]], list[Any] | None]:
        """Stored files that declare a dependency on a canonical name, with their keys; and the key that was
        come to where more may follow although fewer than `limit` were found. Some statements at most."""
        found: list[tuple[Dependent, list[Any]]] = []
        for _ in range(LOOKS):
            sha256, position = (bytes.fromhex(after[0]), after[1]) if after else (b"", -1)
            rows = await self._database.fetch(DEPENDENTS, protocol, name, sha256, position, LOOKED_AT)
            found += [_dependent(protocol, row) for row in rows if row["project"] is not None]
            if len(rows) < LOOKED_AT or len(found) >= limit:
                return found[:limit], None
            after = [rows[-1]["sha256"].hex(), rows[-1]["position"]]
        return found, after

    async def packages(
        self, protocol: str, prefix: str, after: list[Any] | None, limit: int
    ) -> list[tuple[Package, list[Any]]]:
        """Packages whose name starts with `prefix`, in byte order, with their keys."""
        last = after[0] if after else ""
        rows = await self._database.fetch(PACKAGES, protocol, last, prefix, prefix + LAST, limit)
        return [
            (Package(row["name"], purl(protocol, row["name"], ""), row["first_seen_at"]), [row["name"]])
            for row in rows
        ]

    async def files(
        self, protocol: str, project: str, after: list[Any] | None, limit: int
    ) -> list[tuple[PackageFile, list[Any]]]:
        """Stored files of a package, with their keys."""
        file_id, filename = after if after else ("", "")
        rows = await self._database.fetch(FILES, protocol, project, file_id, filename, limit)
        return [
            (
                PackageFile(
                    filename=row["filename"],
                    version=_version(protocol, project, row),
                    sha256=row["sha256"].hex(),
                    size_bytes=row["size_bytes"],
                    purl=purl(protocol, project, _version(protocol, project, row)),
                    path=_path(FileName(protocol, project, row["file_id"], row["filename"])),
                    extraction_state=row["extraction_state"],
                    first_seen_at=row["first_seen_at"],
                ),
                [row["file_id"], row["filename"]],
            )
            for row in rows
        ]


def _dependent(protocol: str, row: Row) -> tuple[Dependent, list[Any]]:
    sha256 = row["sha256"].hex()
    dependent = Dependent(
        sha256=sha256,
        project=row["project"],
        version=row["version"],
        filename=row["filename"],
        purl=purl(protocol, row["project"], row["version"]),
        requirement=row["requirement"],
        optional=row["optional"],
        kind=row["kind"],
    )
    return dependent, [sha256, row["position"]]


def _name(row: Row) -> ArtifactName:
    return ArtifactName(
        protocol=row["protocol"],
        project=row["project"],
        filename=row["filename"],
        purl=purl(row["protocol"], row["project"], _version(row["protocol"], row["project"], row)),
        role=row["role"],
        path=_path(FileName(row["protocol"], row["project"], row["file_id"], row["filename"])),
        source=row["source"],
        upstream_url=row["upstream_url"],
        upstream_modified_at=row["modified"],
        first_seen_at=row["named_at"],
    )


def _version(protocol: str, project: str, row: Row) -> str:
    """The version in the file's metadata; else the one in its name (Maven's jars hold none)."""
    known = find_protocol(protocol)
    if row["version"] or known is None:
        return str(row["version"])
    file = FileName(protocol, project, row["file_id"], row["filename"])
    version = known.grammar.version_asked(known.grammar.artifact_resource(file))
    return known.names.told_version(project, known.names.canonical_version(version), file.filename)


def _path(file: FileName) -> str:
    """Where this Orchard serves a file; "" for a protocol that it no longer speaks."""
    known = find_protocol(file.protocol)
    return "" if known is None else known.mount[:-1] + known.grammar.artifact_path(file)
