"""What is held back, as fetchers note it when they make a page (services/fetcher/indexes/held_queue.py)."""

from __future__ import annotations

from typing import Any

import msgspec

from shared.policy.held import HeldBack
from shared.policy.policy import Policy
from shared.policy.project import ProjectVerdicts
from shared.policy.traits import Change
from shared.postgres.database import Database
from shared.protocols import protocol_named
from shared.protocols.package_urls import purl

_PAGE = """
SELECT protocol, project, coalesce(nullif(told, ''), version) AS version, rule, why, published, until,
       change::text AS change,
       extract(epoch FROM held_at)::float8 AS held_at
FROM held_versions h ORDER BY held_at DESC, protocol, project, h.version OFFSET $1 LIMIT $2
"""
MOST_OFFSET = 1_000_000


class HeldVersion(msgspec.Struct, frozen=True):
    """A version that is held back. Times in unix seconds."""

    purl: str
    protocol: str
    project: str
    version: str  # as its registry spells it
    rule: str
    why: str
    published: float  # when it counts as published
    until: float | None  # when time alone lets it in; null: never
    held_at: float | None  # when a page was first made without it; null: not looked up
    change: Change  # what it has that the last allowed version had not

    def still(self, policy: Policy, now: float) -> bool:
        """Whether it can be held back yet (`now` in unix seconds): the rule that did is in force, time has
        not let it in, and nobody has decided. Rows are of when pages were made."""
        verdicts = policy.of(self.protocol, self.project)
        version = protocol_named(self.protocol).names.canonical_version(self.version)
        return verdicts.by_hand(version, "") is None and self._in_force(verdicts, version, now)

    def _in_force(self, verdicts: ProjectVerdicts, version: str, now: float) -> bool:
        age = verdicts.age
        if self.rule == "minimum_age":
            return age is not None and age.seconds > 0 and not (self.until and self.until <= now)
        if self.rule == "nothing_after":
            return age is not None and age.nothing_after > 0
        if self.rule == "vulnerability":
            return verdicts.by_vulnerability(version, 0.0) is not None
        if self.rule == "trust":
            return verdicts.trust is not None and verdicts.trust.refuses
        named = [f"{each.name}: " for each in verdicts.rules if each.action == "hold"]
        named += [] if verdicts.listed is None else [verdicts.listed.why]
        return any(map(self.why.startswith, named))


def held_version(protocol: str, project: str, held: HeldBack, held_at: float | None = None) -> HeldVersion:
    """As it is told."""
    version = protocol_named(protocol).names.told_version(project, held.version, held.name)
    return HeldVersion(
        purl(protocol, project, version),
        protocol,
        project,
        version,
        held.verdict.rule,
        held.verdict.why,
        held.published,
        held.verdict.until or None,
        held_at,
        held.change,
    )


class HeldRows:
    """Methods raise `DatabaseUnavailable`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, after: list[Any] | None, limit: int) -> list[tuple[HeldVersion, list[Any]]]:
        """The last held first, each with where the next page begins."""
        start = min(after[0], MOST_OFFSET) if after is not None else 0
        found: list[tuple[HeldVersion, list[Any]]] = []
        for at, row in enumerate(await self._database.fetch(_PAGE, start, limit), 1):
            values = dict(row)
            change = msgspec.json.decode(values.pop("change"), type=Change)
            until = values.pop("until") or None
            told = purl(values["protocol"], values["project"], values["version"])
            found.append((HeldVersion(purl=told, until=until, change=change, **values), [start + at]))
        return found
