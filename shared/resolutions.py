"""`ResolutionRepository`: resolved graphs, resolutions in the making, and what is stored of the
documents they need. Each method is one statement."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from shared.artifacts_rows import sealed_file_of
from shared.artifacts_sql import SEALED_FILES
from shared.clients.postgres import Database
from shared.models import SealedFile
from shared.protocols.resolution import Document

FIND = "SELECT body FROM resolutions WHERE key = $1"

# The first complete answer stands; only a refresh replaces it.
KEEP = """
WITH done AS (DELETE FROM resolution_progress WHERE key = $1),
kept AS (
    INSERT INTO resolutions AS standing (key, protocol, artifact, body) VALUES ($1, $2, $3, $4)
    ON CONFLICT (key) DO UPDATE SET
        body = CASE WHEN $5 THEN excluded.body ELSE standing.body END,
        computed_at = CASE WHEN $5 THEN now() ELSE standing.computed_at END
    RETURNING body
)
SELECT body FROM kept
"""

PROGRESS = "SELECT state FROM resolution_progress WHERE key = $1"

# Those left behind by a job that was given up go when others write.
SAVE_PROGRESS = """
WITH old AS (DELETE FROM resolution_progress WHERE updated_at < now() - interval '1 day' AND key <> $1)
INSERT INTO resolution_progress (key, state) VALUES ($1, $2)
ON CONFLICT (key) DO UPDATE SET state = excluded.state, updated_at = now()
"""

END_PROGRESS = "DELETE FROM resolution_progress WHERE key = $1"

STORED_METADATA = """
SELECT i.at, m.object_key, c.sha256, a.extraction_state, a.extraction_reason, a.object_key AS file_key,
       a.size_bytes
FROM unnest($2::text[], $3::text[], $4::text[], $5::text[]) WITH ORDINALITY
     AS i(project, file_id, filename, metadata_name, at)
LEFT JOIN cached_urls c ON c.protocol = $1 AND c.project = i.project AND c.file_id = i.file_id
     AND c.filename = i.filename
LEFT JOIN artifacts a ON a.sha256 = c.sha256
LEFT JOIN (cached_urls mu JOIN artifacts m ON m.sha256 = mu.sha256)
     ON mu.protocol = $1 AND mu.project = i.project AND mu.file_id = i.file_id
     AND mu.filename = i.metadata_name
"""

ROOT = """
SELECT u.protocol, u.project, u.file_id, u.filename, a.size_bytes
FROM artifacts a JOIN cached_urls u USING (sha256)
WHERE a.sha256 = $1 AND u.role = 'file' AND u.protocol = $2
ORDER BY u.created_at, u.project, u.file_id, u.filename
LIMIT 1
"""


def handed_identifier(key: str) -> str:
    """Where in the cache an incomplete answer lies for some seconds, for those who wait for it."""
    return f"handed-{key}"


class StoredMetadata(msgspec.Struct, frozen=True):
    """What is stored of a file: its metadata document's object, else the file and its extraction."""

    object_key: str = ""  # of the metadata document
    sha256: str = ""  # of the file itself
    extraction_state: str = ""
    extraction_reason: str = ""
    file_key: str = ""  # of the file's object
    size_bytes: int = 0  # of the file


class RootRow(msgspec.Struct, frozen=True):
    """The name under which an artifact was first stored."""

    protocol: str
    project: str
    file_id: str
    filename: str
    size_bytes: int


class ResolutionRepository:
    """All methods raise `DatabaseUnavailable` (passing) or `InvalidData`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, key: str) -> bytes | None:
        """The kept answer, as JSON, or None."""
        row = await self._database.fetchrow(FIND, bytes.fromhex(key))
        return None if row is None else bytes(row["body"])

    async def keep(self, key: str, protocol: str, artifact: str, body: bytes, *, replace: bool) -> bytes:
        """Keep a complete answer for ever; the one that stands (an earlier one, unless `replace`)."""
        root = bytes.fromhex(artifact) if artifact else None
        row = await self._database.fetchrow(KEEP, bytes.fromhex(key), protocol, root, body, replace)
        assert row is not None
        return bytes(row["body"])

    async def progress(self, key: str) -> bytes | None:
        """The saved state of a resolution in the making."""
        row = await self._database.fetchrow(PROGRESS, bytes.fromhex(key))
        return None if row is None else bytes(row["state"])

    async def save_progress(self, key: str, state: bytes) -> None:
        """Replace the saved state."""
        await self._database.execute(SAVE_PROGRESS, bytes.fromhex(key), state)

    async def end_progress(self, key: str) -> None:
        """Forget the saved state."""
        await self._database.execute(END_PROGRESS, bytes.fromhex(key))

    async def root(self, sha256: str, protocol: str) -> RootRow | None:
        """The file of these bytes in a protocol, or None."""
        row = await self._database.fetchrow(ROOT, bytes.fromhex(sha256), protocol)
        return None if row is None else RootRow(**dict(row))

    async def sealed(
        self, protocol: str, projects: Sequence[str]
    ) -> dict[str, dict[tuple[str, str], SealedFile]]:
        """Per project all stored files, keyed (file_id, filename)."""
        found: dict[str, dict[tuple[str, str], SealedFile]] = {project: {} for project in projects}
        for row in await self._database.fetch(SEALED_FILES, protocol, list(projects)):
            found[row["project"]][row["file_id"], row["filename"]] = sealed_file_of(row)
        return found

    async def stored_metadata(
        self, protocol: str, documents: Sequence[Document], metadata_names: Sequence[str]
    ) -> list[StoredMetadata]:
        """For each document what is stored, in their order; `metadata_names` may hold ""."""
        rows = await self._database.fetch(
            STORED_METADATA,
            protocol,
            [document.project for document in documents],
            [document.file_id for document in documents],
            [document.filename for document in documents],
            list(metadata_names),
        )
        found = [StoredMetadata()] * len(documents)
        for row in rows:
            found[row["at"] - 1] = StoredMetadata(
                object_key=row["object_key"] or "",
                sha256=row["sha256"].hex() if row["sha256"] else "",
                extraction_state=row["extraction_state"] or "",
                extraction_reason=row["extraction_reason"] or "",
                file_key=row["file_key"] or "",
                size_bytes=row["size_bytes"] or 0,
            )
        return found
