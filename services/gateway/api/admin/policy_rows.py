"""The rows of the policy file."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from services.gateway.api.admin.repository import Actor
from shared.policy.named import NamedRule
from shared.postgres.database import Database

# One statement, and so one change: no process ever reads half a file.
_REPLACE = """
WITH before AS (
    SELECT coalesce(jsonb_agg(rule - 'popular' - 'meant' ORDER BY position), '[]') AS rules
    FROM policy_rules
), wanted AS (
    SELECT position, name, rule::jsonb AS rule
    FROM unnest($3::int[], $4::text[], $5::text[]) AS t(position, name, rule)
), went AS (
    INSERT INTO policy_rules_gone (name, digest, rule)
    SELECT name, sha256(convert_to((rule - 'since')::text, 'UTF8')), rule
    FROM policy_rules WHERE rule NOT IN (SELECT rule FROM wanted)
    ON CONFLICT (name, digest) DO UPDATE SET rule = excluded.rule, gone_at = now()
), forgotten AS (
    DELETE FROM policy_rules_gone WHERE gone_at < (
        SELECT gone_at FROM policy_rules_gone ORDER BY gone_at DESC OFFSET $6 LIMIT 1)
), gone AS (
    DELETE FROM policy_rules WHERE position > cardinality($3::int[]) RETURNING position
), put AS (
    INSERT INTO policy_rules AS p (position, name, rule)
    SELECT position, name, rule FROM wanted
    ON CONFLICT (position) DO UPDATE SET name = excluded.name, rule = excluded.rule, applied_at = now()
    RETURNING position
), noted AS (
    INSERT INTO audit (who, request_id, action, target, before, after)
    SELECT $1, $2, 'policy.apply', 'policy', before.rules,
        coalesce((SELECT jsonb_agg(rule - 'popular' - 'meant' ORDER BY position) FROM wanted), '[]')
    FROM before
)
SELECT count(*) FROM put
"""

_GONE = """
SELECT rule::text AS rule FROM policy_rules_gone WHERE name = ANY ($1) ORDER BY gone_at DESC LIMIT $2
"""

MOST_GONE = 1000  # rules that are remembered: the last
_decode = msgspec.json.Decoder(NamedRule).decode


class PolicyRows:
    """Methods raise `DatabaseUnavailable`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def replace(self, actor: Actor, rules: Sequence[NamedRule]) -> None:
        """These and no others, in this order."""
        await self._database.execute(
            _REPLACE,
            actor.name,
            actor.request_id,
            list(range(1, len(rules) + 1)),
            [each.name for each in rules],
            [msgspec.json.encode(each).decode() for each in rules],
            MOST_GONE,
        )

    async def began_before(
        self, wanted: Sequence[NamedRule], standing: Sequence[NamedRule]
    ) -> list[NamedRule]:
        """What may say since when each of these counts: those that stand, then what has gone under their
        names."""
        rows = await self._database.fetch(_GONE, [each.name for each in wanted], MOST_GONE)
        return [*standing, *(_decode(row["rule"]) for row in rows)]
