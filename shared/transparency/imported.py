"""`ImportedRows`: proofs and statements of other Orchards that came in bundles (docs/decisions/0049).

They go with their builds. All methods raise `DatabaseUnavailable` (passing) and `InvalidData`.
"""

from __future__ import annotations

from shared.postgres.database import Database
from shared.transparency.statements import MOST

_STATEMENTS = f"""
SELECT DISTINCT s.envelope FROM imported_statements s WHERE {{which}} LIMIT {MOST}
"""  # noqa: S608 - of constants
OF_FILE = _STATEMENTS.format(which="s.sha256 = $1")
OF_VERSION = _STATEMENTS.format(which="s.protocol = $1 AND s.project = $2 AND s.version = $3")
PROOF = """
SELECT p.proof FROM imported_proofs p JOIN builds b ON b.id = p.build
WHERE p.sha256 = $1 AND p.key = $2 ORDER BY b.sealed_at DESC LIMIT 1
"""


class ImportedRows:
    """Over a database that others open and close."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of_file(self, sha256: str) -> list[bytes]:
        """Envelopes about a file with this digest (hex)."""
        rows = await self._database.fetch(OF_FILE, bytes.fromhex(sha256))
        return [bytes(row["envelope"]) for row in rows]

    async def of_version(self, protocol: str, project: str, version: str) -> list[bytes]:
        """Envelopes about files of a version."""
        rows = await self._database.fetch(OF_VERSION, protocol, project, version)
        return [bytes(row["envelope"]) for row in rows]

    async def proof(self, sha256: str, key: str) -> bytes | None:
        """That the log of this key has admitted the file, as the newest build's bundle told it."""
        row = await self._database.fetchrow(PROOF, bytes.fromhex(sha256), key)
        return None if row is None else bytes(row["proof"])
