"""The rows of the policy file."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from services.gateway.api.admin.repository import Actor
from shared.errors import Conflict
from shared.policy.named import NamedRule
from shared.postgres.database import Database

# One statement, and so one change: no process ever reads half a file. It changes nothing where the revision
# is another than $7: whoever changes what that counts waits for its row.
_REPLACE = """
WITH locked AS (
    SELECT FROM access_revision WHERE revision = $7::bigint FOR UPDATE
), as_read AS (
    SELECT FROM locked UNION ALL
    SELECT WHERE $7::bigint = 0 AND NOT EXISTS (SELECT FROM access_revision)
), before AS (
    SELECT coalesce(jsonb_agg(rule - 'popular' - 'meant' ORDER BY position), '[]') AS rules
    FROM policy_rules
), wanted AS (
    SELECT position, name, rule::jsonb AS rule
    FROM unnest($3::int[], $4::text[], $5::text[]) AS t(position, name, rule), as_read
), went AS (
    INSERT INTO policy_rules_gone (name, digest, rule)
    SELECT name, sha256(convert_to((rule - 'since')::text, 'UTF8')), rule
    FROM policy_rules, as_read WHERE rule NOT IN (SELECT rule FROM wanted)
    ON CONFLICT (name, digest) DO UPDATE SET rule = excluded.rule, gone_at = now()
), forgotten AS (
    DELETE FROM policy_rules_gone WHERE gone_at < (
        SELECT gone_at FROM policy_rules_gone ORDER BY gone_at DESC OFFSET $6 LIMIT 1)
), gone AS (
    DELETE FROM policy_rules USING as_read WHERE position > cardinality($3::int[]) RETURNING position
), put AS (
    INSERT INTO policy_rules AS p (position, name, rule)
    SELECT position, name, rule FROM wanted
    ON CONFLICT (position) DO UPDATE SET name = excluded.name, rule = excluded.rule, applied_at = now()
    RETURNING position
), noted AS (
    INSERT INTO audit (who, request_id, action, target, before, after)
    SELECT $1, $2, 'policy.apply', 'policy', before.rules,
        coalesce((SELECT jsonb_agg(rule - 'popular' - 'meant' ORDER BY position) FROM wanted), '[]')
    FROM before, as_read
)
SELECT count(*) FROM as_read, (SELECT count(*) FROM put) AS done
"""

_STANDING = """
SELECT coalesce((SELECT revision FROM access_revision), 0) AS revision,
    coalesce((SELECT jsonb_agg(rule ORDER BY position) FROM policy_rules), '[]')::text AS rules,
    coalesce((SELECT jsonb_agg(rule ORDER BY gone_at DESC) FROM (
        SELECT rule, gone_at FROM policy_rules_gone WHERE name = ANY ($1) ORDER BY gone_at DESC LIMIT $2
    ) AS went), '[]')::text AS gone
"""

MOST_GONE = 1000  # rules that are remembered: the last
TRIES = 10  # changes of blocks, exemptions and tokens meanwhile: others apply nothing by these
_decode = msgspec.json.Decoder(list[NamedRule]).decode


class Standing(msgspec.Struct, frozen=True):
    """What the rows say at one moment. `revision`: of all rows that say who may do and have what."""

    revision: int
    rules: list[NamedRule]
    gone: list[NamedRule]  # under the names that were asked for

    @property
    def before(self) -> list[NamedRule]:
        """What may say since when a rule counts: those that stand, then what has gone."""
        return [*self.rules, *self.gone]


class PolicyRows:
    """Methods raise `DatabaseUnavailable`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def standing(self, wanted: Sequence[NamedRule]) -> Standing:
        """The rules in force, and what has gone under the names of `wanted`."""
        row = await self._database.fetchrow(_STANDING, [each.name for each in wanted], MOST_GONE)
        assert row is not None
        return Standing(row["revision"], _decode(row["rules"]), _decode(row["gone"]))

    async def replace(self, actor: Actor, rules: Sequence[NamedRule], standing: Standing) -> None:
        """These and no others, in this order, in place of those that stood. Raises `Conflict` where others
        stand by now."""
        for _ in range(TRIES):
            done = await self._database.fetchrow(
                _REPLACE,
                actor.name,
                actor.request_id,
                list(range(1, len(rules) + 1)),
                [each.name for each in rules],
                [msgspec.json.encode(each).decode() for each in rules],
                MOST_GONE,
                standing.revision,
            )
            if done is not None and done[0]:
                return
            known, standing = standing, await self.standing(rules)
            if standing.rules != known.rules:
                break
        raise Conflict(
            "somebody else applied a policy file meanwhile, and this one did not take its place",
            hint="`orchard policy show` has the rules in force now; apply this file again to replace them.",
        )
