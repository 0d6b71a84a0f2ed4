"""What of the queue of held versions is held back yet: by the rules in force."""

from __future__ import annotations

import pytest

from services.gateway.api.admin.held_rows import HeldVersion
from shared.policy.advisories import About, Advisories, Advisory, Snapshot, make_snapshot
from shared.policy.named import NamedRule
from shared.policy.policy import Policy
from shared.policy.rules import AgeRule, Block, Exemption, Rules
from shared.policy.traits import Change

NOW = 1_800_000_000.0
DAY = 86_400.0
LEAK = About("npm", "demo", (Advisory("GHSA-1", False, 9.0, versions=("2.0.0",)),))
KNOWN = Advisories([Snapshot(make_snapshot([LEAK]))], "x")
WEEK = Rules({"": AgeRule(7 * DAY)})
SEVERE = Rules(feeds=True, severity=7.0)


def row(rule: str, why: str = "", until: float | None = None) -> HeldVersion:
    return HeldVersion("pkg:npm/demo@2.0.0", "npm", "demo", "2.0.0", rule, why, 1.0, until, 1.0, Change())


def of_file(*rules: NamedRule) -> Policy:
    return Policy(named_rules=rules)


@pytest.mark.parametrize(
    ("held", "policy", "still"),
    [
        (row("minimum_age", until=NOW + 1), Policy((), WEEK), True),
        (row("minimum_age", until=NOW), Policy((), WEEK), False),
        (row("minimum_age", until=NOW + 1), Policy((), Rules(nothing_after=1.0)), False),
        (row("nothing_after"), Policy((), Rules(nothing_after=1.0)), True),
        (row("nothing_after"), Policy((), WEEK), False),
        (row("vulnerability"), Policy((), SEVERE, advisories=KNOWN), True),
        (row("vulnerability"), Policy((), SEVERE, advisories=Advisories([], "y")), False),
        (row("trust"), Policy((), Rules(trust="no-downgrade")), True),
        (row("trust"), Policy((), Rules(trust="verify")), False),
        (row("policy", "a: no"), of_file(NamedRule("a", when="true")), True),
        (row("policy", "a: no"), of_file(NamedRule("b", when="true")), False),
        (row("policy", "a: no"), of_file(NamedRule("a", when="true", action="warn")), False),
        (row("policy", "a: no"), of_file(NamedRule("a", protocols=("pypi",), when="true")), False),
        (row("policy", "a: refused"), of_file(NamedRule("a", refuse=True)), True),
        (row("policy", "a: no"), Policy(), False),
        (row("trust"), Policy([Block(1, "no", "npm", "demo")], Rules(trust="no-downgrade")), False),
        (
            row("trust"),
            Policy((), Rules(trust="no-downgrade"), [Exemption(1, "x", "npm", "demo", "2.0.0")]),
            False,
        ),
    ],
)
def test_row__counts_while_the_rule_that_held_it_is_in_force(
    held: HeldVersion, policy: Policy, still: bool
) -> None:
    assert held.still(policy, NOW) is still


def test_row__told_as_its_registry_spells_it__is_decided_by_its_canonical_version() -> None:
    held = HeldVersion(
        "pkg:pypi/demo@2.34.0", "pypi", "demo", "2.34.0", "trust", "", 1.0, None, 1.0, Change()
    )
    rules = Rules(trust="no-downgrade")
    assert held.still(Policy((), rules), NOW)
    assert not held.still(Policy([Block(1, "no", "pypi", "demo", "2.34")], rules), NOW)
