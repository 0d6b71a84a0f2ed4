"""What was made under one policy, a page or what rules came to for a file, is known to be of no other."""

from __future__ import annotations

from typing import Any

import pytest

from shared.policy import content
from shared.policy.advisories import About, Advisories, Advisory, Snapshot, make_snapshot
from shared.policy.named import NamedRule
from shared.policy.policy import Policy
from shared.policy.project import ProjectVerdicts
from shared.policy.rules import AgeRule, Block, Exemption, Rules
from shared.policy.verdict import UNKNOWN
from shared.protocols import PROTOCOLS, attests, named_alike, version_key

NOW = 1_800_000_000.0
SHA256 = "ab" * 32
CONTENT = NamedRule(name="some", when="true")
each_protocol = pytest.mark.parametrize("protocol", [each.name for each in PROTOCOLS])


def advisories(protocol: str, *told: Advisory, name: str = "x") -> Advisories:
    return Advisories([Snapshot(make_snapshot([About(protocol, name, told)] if told else []))], "1")


def policy(protocol: str, said: dict[str, Any]) -> Policy:
    """Under rules that count for all; `said`: what one state has beside."""
    rules = Rules(feeds=True, severity=0.0, **said.get("settings", {"trust": "no-downgrade"}))
    return Policy(
        [Block(1, "no", protocol, *each) for each in said.get("blocks", ())],
        rules,
        [Exemption(1, "yes", protocol, *each) for each in said.get("exempt", ())],
        named=named_alike,
        order=version_key,
        attests=attests,
        advisories=advisories(protocol, *said.get("told", ()), name=said.get("name", "x")),
        named_rules=said.get("rules", ()),
    )


MALWARE = Advisory("MAL-1", True, versions=("2",))
STATES: dict[str, dict[str, Any]] = {
    "nothing": {},
    "a version is blocked": {"blocks": [("x", "1")]},
    "another version is blocked": {"blocks": [("x", "2")]},
    "all are blocked": {"blocks": [("x",)]},
    "bytes are blocked": {"blocks": [("", "", SHA256)]},
    "a version is exempt": {"exempt": [("x", "1")]},
    "another version is exempt": {"exempt": [("x", "2")]},
    "bytes are exempt": {"exempt": [("", "", SHA256)]},
    "malware": {"told": [MALWARE]},
    "other malware": {"told": [Advisory("MAL-2", True, versions=("2",))]},
    "malware, bytes exempt": {"told": [MALWARE], "exempt": [("", "", SHA256)]},
    "a vulnerability": {"told": [Advisory("GHSA-1", False, score=9.0, versions=("2",))]},
    "an age": {"settings": {"trust": "no-downgrade", "ages": {"": AgeRule(7.0)}}},
    "a date": {"settings": {"trust": "no-downgrade", "nothing_after": 9.0}},
}


def pages(of: ProjectVerdicts) -> tuple[str, str]:
    return of.stamp, of.rules_stamp


@each_protocol
def test_files_judged_by_a_list__are_judged_anew_after_each_change_that_may_count(protocol: str) -> None:
    found = {
        name: policy(protocol, {**said, "rules": [CONTENT]}).of(protocol, "x")
        for name, said in STATES.items()
    }
    assert len({each.content_stamp for each in found.values()}) == len(STATES)
    before = content.told(found["nothing"].content_stamp, None)
    for name, of in found.items():
        is_known = content.as_told(of.content_stamp, before, NOW) is not UNKNOWN
        assert is_known == (name == "nothing"), name


@each_protocol
@pytest.mark.parametrize("rules", [[], [CONTENT]])
def test_pages__are_made_anew_after_each_change_that_may_count(protocol: str, rules: list[NamedRule]) -> None:
    states = dict(STATES)
    if not rules and not attests(protocol):
        del states["bytes are exempt"]  # there is no rule that they could be exempt from
    found = [pages(policy(protocol, {**said, "rules": rules}).of(protocol, "x")) for said in states.values()]
    assert len(set(found)) == len(states)


@each_protocol
def test_change_that_is_about_another_project__leaves_what_was_made(protocol: str) -> None:
    def made(**said: Any) -> tuple[str, ...]:
        of = policy(protocol, {**said, "rules": [CONTENT]}).of(protocol, "x")
        return (*pages(of), of.content_stamp)

    plain = made()
    assert made(told=[MALWARE], name="y") == plain
    assert made(blocks=[("y", "1")]) == plain
    assert made(exempt=[("y", "1")]) == plain
