"""The admin API: all rules in force, whoever set them, and what each would have refused lately."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
from litestar import get

from services.gateway.api.admin.dry_run import DryRun, dry_run
from services.gateway.api.admin.policy_reading import source_names
from services.gateway.api.types import Page
from shared.access.watcher import AccessWatcher
from shared.errors.passing import AccessUnknown
from shared.policy.named import NamedRule
from shared.policy.policy import NO_RULES
from shared.policy.rules import Rules
from shared.postgres.database import Database
from shared.process.threads import BoundedThreads
from shared.protocols import PROTOCOLS
from shared.settings import age_variable, variable
from shared.stores import Stores

# By the index `audit_of_policy`.
_APPLIED = """
SELECT who, extract(epoch FROM at)::float8 AS at FROM audit WHERE action = 'policy.apply'
ORDER BY id DESC LIMIT 1
"""


class InForce(msgspec.Struct, frozen=True):
    """`settings`: what the environment asks for, each as a rule with its variable's name. `file`: the rules
    of the policy file, as written, in their order. `applied_at`, `applied_by`: of it; null and "": never."""

    settings: list[NamedRule]
    file: list[NamedRule]
    stored_stay: bool  # what was stored before a rule was set stays served
    feeds: bool  # advisories count: what they call malware is refused
    severity: float | None  # CVSS: so grave a vulnerability is refused; null: none is
    severity_since: float  # unix seconds
    applied_at: float | None
    applied_by: str


@get("/api/v1/admin/rules", summary="All rules in force")
async def rules(database: Database, access_watcher: AccessWatcher) -> InForce:
    """Of the settings, and of the policy file; `since` in unix seconds. Blocks and exemptions have lists of
    their own."""
    state = access_watcher.state
    if state is None:
        raise AccessUnknown("the rules in force cannot be told yet")
    of = state.rules or NO_RULES
    row = await database.fetchrow(_APPLIED)
    return InForce(
        settings=rules_of_settings(of),
        file=[each.as_written() for each in state.policy_rules],
        stored_stay=of.stored_stay,
        feeds=of.feeds,
        severity=of.severity if of.feeds else None,
        severity_since=of.severity_since,
        applied_at=None if row is None else row["at"],
        applied_by="" if row is None else row["who"],
    )


@get("/api/v1/admin/rules/dry-run", summary="What the rules in force would have refused")
async def would_refuse(
    database: Database, stores: Stores, parsers: BoundedThreads, access_watcher: AccessWatcher
) -> Page[DryRun]:
    """Of what was served in the last 30 days, rule by rule, each as if it were the only one; by what the
    lists of versions say now. Takes up to some 20 s; changes nothing."""
    state = access_watcher.state
    if state is None:
        raise AccessUnknown("the rules in force cannot be told yet")
    wanted = [*rules_of_settings(state.rules or NO_RULES), *state.policy_rules]
    return Page(await dry_run(database, stores, parsers, wanted, await source_names(database)))


def rules_of_settings(of: Rules) -> list[NamedRule]:
    """Those that a policy file could say as well."""
    found = []
    for protocol, rule in sorted(of.ages.items()):
        others = tuple(each.name for each in PROTOCOLS if each.name not in of.ages)
        about = (protocol,) if protocol else others if len(of.ages) > 1 else ()
        if rule.seconds and (protocol or others):
            found.append(
                NamedRule(age_variable(protocol), about, minimum_age=_age(rule.seconds), since=rule.since)
            )
    if of.nothing_after:
        told = datetime.fromtimestamp(of.nothing_after, UTC).isoformat().removesuffix("T00:00:00+00:00")
        found.append(NamedRule(variable("nothing_after"), nothing_after=told))
    if of.trust:
        found.append(
            NamedRule(variable("trust"), trust=of.trust, unverified=of.trust_unknown, since=of.trust_since)
        )
    return found


def _age(seconds: float) -> str:
    return f"{seconds / 86_400:.0f}d" if seconds % 86_400 == 0 else f"{seconds / 3600:.0f}h"


HANDLERS = [rules, would_refuse]
