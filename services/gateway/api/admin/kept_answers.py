"""Which kept locks and resolutions name a package or a file: found in their JSON, whatever its format became.
Which sealed builds hold a stored file of it: by the objects that they keep.

The bodies stay in the database; they are looked through a few at a time, for so long as an answer may take.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from urllib.parse import unquote

import msgspec

from services.gateway.api.admin.serving_types import Naming
from services.gateway.api.admin.subjects import Subject
from shared.artifacts.repository import ArtifactRepository
from shared.builds.rows import HOLDING
from shared.models import FileName, SealedFile
from shared.objects.port import artifact_key
from shared.postgres.database import Database
from shared.protocols import protocol_named

SECONDS = 0.5
BODIES = 64  # of one statement
MOST_NAMED = 500

# $1 the last key, $2 how many, $3 what a body must hold one of, $4 the pattern of a version after it, or "".
_NAMES_IT = """CASE
    WHEN NOT EXISTS (SELECT FROM unnest($3::bytea[]) AS held WHERE position(held IN body) > 0) THEN NULL
    WHEN $4 = '' THEN ARRAY['']
    ELSE ARRAY(SELECT DISTINCT m[1] FROM regexp_matches(convert_from(body, 'UTF8'), $4, 'g') AS m)
END AS versions"""
LOCKS_NAMING = f"""
WITH page AS (SELECT key, kept_at AS at, body FROM ensures WHERE key > $1 ORDER BY key LIMIT $2)
SELECT key, extract(epoch FROM at)::float8 AS at, {_NAMES_IT} FROM page ORDER BY key
"""  # noqa: S608 - of constants
RESOLUTIONS_NAMING = f"""
WITH page AS (SELECT key, computed_at AS at, body FROM resolutions WHERE key > $1 ORDER BY key LIMIT $2)
SELECT key, extract(epoch FROM at)::float8 AS at, {_NAMES_IT} FROM page ORDER BY key
"""  # noqa: S608 - of constants
_KINDS = (
    ("lock", "/api/v1/ensures/", LOCKS_NAMING),
    ("resolution", "/api/v1/resolutions/", RESOLUTIONS_NAMING),
)


class KeptAnswers:
    """Raises `DatabaseUnavailable`."""

    def __init__(self, database: Database, *, seconds: float = SECONDS) -> None:
        self._database = database
        self._seconds = seconds

    async def naming(self, subject: Subject) -> tuple[list[Naming], bool]:
        """Those that name it, and whether all were looked through."""
        until = time.monotonic() + self._seconds
        held, pattern = _wanted(subject)
        found: list[Naming] = []
        for kind, path, statement in _KINDS:
            after = b""
            while rows := await self._database.fetch(statement, after, BODIES, held, pattern):
                after = bytes(rows[-1]["key"])
                for row in rows:
                    if row["versions"] is not None and _is_meant(subject, row["versions"]):
                        key = bytes(row["key"]).hex()
                        found.append(Naming(kind, key, path + key, row["at"]))
                if len(found) >= MOST_NAMED or time.monotonic() > until:
                    return found, False
        return found, True

    async def builds(self, sha256s: Iterable[str]) -> list[Naming]:
        """Sealed builds that got one of these files, the last first."""
        keys = [artifact_key(each) for each in sha256s]
        rows = await self._database.fetch(HOLDING, keys, MOST_NAMED) if keys else []
        return [Naming("build", row["id"], f"/api/v1/builds/{row['id']}", row["at"]) for row in rows]


async def stored_of(artifacts: ArtifactRepository, subject: Subject) -> set[str]:
    """The SHA256 of each stored file that is meant."""
    if subject.sha256 or not subject.project:
        return {subject.sha256} - {""}
    protocol = protocol_named(subject.protocol)
    identity = protocol.grammar.index_identity(subject.project)
    state = await artifacts.index_state(subject.protocol, identity, subject.project, ())

    def is_meant(file: SealedFile) -> bool:
        name = FileName(subject.protocol, subject.project, file.file_id, file.filename)
        asked = protocol.grammar.version_asked(protocol.grammar.artifact_resource(name))
        return subject.version in ("", protocol.names.canonical_version(asked))

    return {each.sha256 for each in state.sealed if is_meant(each)}


def _wanted(subject: Subject) -> tuple[list[bytes], str]:
    """What a body has to hold one of, and a pattern that takes the versions after that. Earlier releases
    wrote package URLs without capitals."""
    if subject.sha256:
        return [f'"{subject.sha256}"'.encode()], ""
    start = msgspec.structs.replace(subject, version="").purl + "@"
    starts = list(dict.fromkeys((start, start.lower())))
    pattern = f"(?:{'|'.join(map(re.escape, starts))})" + r'([^"?#\\]+)' if subject.version else ""
    return [each.encode() for each in starts], pattern


def _is_meant(subject: Subject, versions: list[str]) -> bool:
    """Whether one of the versions is meant: locks spell them as their files do."""
    if not subject.version:
        return True
    names = protocol_named(subject.protocol).names
    return any(names.canonical_version(unquote(each)) == subject.version for each in versions)
