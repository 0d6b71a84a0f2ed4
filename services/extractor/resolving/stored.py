"""`StoredFiles`: look-ups of the stored documents that resolutions and locks are made of, one statement
each."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from shared.artifacts.rows import sealed_file_of
from shared.artifacts.statements import SEALED_FILES
from shared.models import SealedFile
from shared.postgres.database import Database
from shared.protocols.resolution import Document, RootFile

STORED_METADATA = """
SELECT i.at, m.object_key, c.sha256, a.extraction_state, a.extraction_reason, a.object_key AS file_key,
       a.size_bytes, coalesce(extract(epoch FROM c.published), 0)::float8 AS published,
       coalesce(c.judged, '') AS judged,
       coalesce(extract(epoch FROM c.created_at), 0)::float8 AS stored_at
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
SELECT u.project, u.file_id, u.filename, a.size_bytes
FROM artifacts a JOIN cached_urls u USING (sha256)
WHERE a.sha256 = $1 AND u.role = 'file' AND u.protocol = $2
ORDER BY u.created_at, u.project, u.file_id, u.filename
LIMIT 1
"""


DOCUMENTS = """
SELECT identity, document_key FROM index_documents WHERE protocol = $1 AND identity = ANY($2::text[])
"""


class StoredMetadata(msgspec.Struct, frozen=True):
    """A file's stored metadata: its metadata document's object, else the file and its extraction."""

    object_key: str = ""  # of the metadata document
    sha256: str = ""  # of the file itself
    extraction_state: str = ""
    extraction_reason: str = ""
    file_key: str = ""  # of the file's object
    size_bytes: int = 0  # of the file
    published: float = 0.0  # unix seconds: when the file counts as published; 0: not known
    stored_at: float = 0.0  # unix seconds: when the file was stored; 0: it is not
    judged: str = ""  # as in `StoredFile`


class StoredFiles:
    """All methods raise `DatabaseUnavailable` (passing) or `InvalidData`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def root(self, sha256: str, protocol: str) -> RootFile | None:
        """The file of these bytes in a protocol, by the name under which it was first stored, or None."""
        row = await self._database.fetchrow(ROOT, bytes.fromhex(sha256), protocol)
        return None if row is None else RootFile(**dict(row), sha256=sha256)

    async def documents(self, protocol: str, identities: Sequence[str]) -> dict[str, str]:
        """Of these indexes those whose last good document is stored: identity → object key."""
        rows = await self._database.fetch(DOCUMENTS, protocol, list(identities))
        return {row["identity"]: row["document_key"] for row in rows}

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
                published=row["published"],
                judged=row["judged"],
                stored_at=row["stored_at"],
            )
        return found
