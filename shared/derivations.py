"""Effective dependencies in PostgreSQL, apart from the declared ones of `ArtifactRepository`."""

from __future__ import annotations

from shared.artifacts_rows import digest
from shared.clients.postgres import Database
from shared.models import Dependency
from shared.protocols.derivation import Derived

MAX_PROBLEMS = 100  # the first ones say what is wrong

# A complete model is final; an incomplete one is replaced. `model` is empty when nothing may change, and
# then nothing else is written. A foreign key to a row of the same statement is checked at its end.
STORE = """
WITH model AS (
    INSERT INTO effective_models AS e (sha256, complete, problems, relocated_to)
    VALUES ($1, $2, $3, $4)
    ON CONFLICT (sha256) DO UPDATE SET complete = excluded.complete, problems = excluded.problems,
        relocated_to = excluded.relocated_to, derived_at = now()
    WHERE NOT e.complete
    RETURNING sha256
), surplus AS (
    DELETE FROM effective_dependencies d USING model m
    WHERE d.sha256 = m.sha256 AND d.position >= cardinality($5::text[])
), stored AS (
    INSERT INTO effective_dependencies
        (sha256, position, requirement, name, specifier, marker, optional, kind)
    SELECT m.sha256, w.at - 1, w.requirement, w.name, w.specifier, w.marker, w.optional, w.kind
    FROM model m, unnest($5::text[], $6::text[], $7::text[], $8::text[], $9::bool[], $10::text[])
        WITH ORDINALITY AS w(requirement, name, specifier, marker, optional, kind, at)
    ON CONFLICT (sha256, position) DO UPDATE SET
        requirement = excluded.requirement, name = excluded.name, specifier = excluded.specifier,
        marker = excluded.marker, optional = excluded.optional, kind = excluded.kind
)
SELECT sha256 FROM model
"""

FIND = """
SELECT e.problems, e.relocated_to, d.position, d.requirement, d.name, d.specifier, d.marker, d.optional,
       d.kind
FROM effective_models e LEFT JOIN effective_dependencies d USING (sha256)
WHERE e.sha256 = $1
ORDER BY d.position
"""


class DerivationRepository:
    """Writes and reads what was derived. Raises `DatabaseUnavailable` and `InvalidData`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def store(self, sha256: str, derived: Derived) -> bool:
        """Keep it with the artifact. False if a complete one was there already. One statement."""
        rows = derived.dependencies
        written = await self._database.fetchrow(
            STORE,
            digest(sha256),
            not derived.problems,
            list(derived.problems[:MAX_PROBLEMS]),
            derived.relocated_to,
            [row.requirement for row in rows],
            [row.name for row in rows],
            [row.specifier for row in rows],
            [row.marker for row in rows],
            [row.optional for row in rows],
            [row.kind for row in rows],
        )
        return written is not None

    async def find(self, sha256: str) -> Derived | None:
        """What was derived for an artifact, or None. One query."""
        rows = await self._database.fetch(FIND, digest(sha256))
        if not rows:
            return None
        return Derived(
            dependencies=tuple(
                Dependency(
                    position=row["position"],
                    requirement=row["requirement"],
                    name=row["name"],
                    specifier=row["specifier"],
                    marker=row["marker"],
                    optional=row["optional"],
                    kind=row["kind"],
                )
                for row in rows
                if row["position"] is not None
            ),
            problems=tuple(rows[0]["problems"]),
            relocated_to=rows[0]["relocated_to"],
        )
