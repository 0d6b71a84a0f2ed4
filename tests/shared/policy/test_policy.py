"""The order of the rules, what stamps tell apart, and when rules begin."""

from __future__ import annotations

import pytest

from shared.errors import Blocked, Malware, TooYoung
from shared.policy.advisories import About, Advisories, Advisory, Snapshot, Span, make_snapshot
from shared.policy.age import Dated, Seen
from shared.policy.named import NamedRule
from shared.policy.policy import REMEMBERED, Policy
from shared.policy.rules import AgeRule, Block, Exemption, Rules, put_in_force, rules_of
from shared.policy.trust import TrustRule
from shared.policy.verdict import Subject, Verdict
from shared.settings import load_settings

DAY = 86_400.0
NOW = 1_800_000_000.0
DIGEST = "ab" * 32
WEEK = Rules({"": AgeRule(7 * DAY), "npm": AgeRule(0.0)})
YOUNG = Subject("pypi", "demo", "2", DIGEST, published=NOW - DAY)


def block(version: str = "", sha256: str = "") -> Block:
    return Block(1, "bad", *(("", "", "") if sha256 else ("pypi", "demo", version)), sha256)


def exemption(version: str = "", sha256: str = "") -> Exemption:
    return Exemption(1, "needed", *(("", "", "") if sha256 else ("pypi", "demo", version)), sha256)


@pytest.mark.parametrize(
    ("blocks", "exemptions", "rule"),
    [
        ([], [], "minimum_age"),
        ([], [exemption()], "exemption"),
        ([], [exemption("2")], "exemption"),
        ([], [exemption("3")], "minimum_age"),
        ([], [exemption(sha256=DIGEST)], "exemption"),
        ([block()], [], "block"),
        ([block()], [exemption()], "block"),
        ([block()], [exemption("2")], "exemption"),
        ([block("2")], [exemption("2")], "block"),
        ([block("2")], [exemption()], "block"),
        ([block("3")], [exemption()], "exemption"),
        ([block()], [exemption(sha256=DIGEST)], "exemption"),
        ([block("2")], [exemption(sha256=DIGEST)], "exemption"),
        ([block("2")], [exemption(sha256="cd" * 32)], "block"),
        ([block(sha256=DIGEST)], [exemption(sha256=DIGEST)], "block"),
        ([block(sha256=DIGEST)], [exemption("2")], "block"),
    ],
)
def test_order__by_hand_before_age__the_more_exact_first(
    blocks: list[Block], exemptions: list[Exemption], rule: str
) -> None:
    policy = Policy(blocks, WEEK, exemptions)
    found = policy.verdict(YOUNG, NOW)
    assert found is not None and (found.rule, found.allowed) == (rule, rule == "exemption")
    if found.allowed:
        assert policy.admits(YOUNG, NOW)
    else:
        with pytest.raises(Blocked if rule == "block" else TooYoung):
            policy.admits(YOUNG, NOW)


def test_age__of_one_protocol__others_cost_nothing() -> None:
    policy = Policy((), WEEK)
    assert policy.age_of("npm") is None and not policy.of("npm", "demo").any
    assert not Policy((), Rules({"": AgeRule(0.0)})).any
    assert policy.admits(Subject("npm", "demo", "2"), NOW)


def test_age__nobody_knows_it__nobody_gets_the_file() -> None:
    policy, unknown = Policy((), WEEK), Subject("pypi", "demo", "2")
    assert not policy.admits(unknown, NOW)
    with pytest.raises(TooYoung):
        policy.check_file(unknown, NOW)


def test_held__young_entries_and_when_the_next_comes_of_age() -> None:
    verdicts = Policy((), WEEK, [exemption("3")]).of("pypi", "demo")
    entries = [
        Dated("1", "1", NOW - 8 * DAY),
        Dated("2", "2", NOW - DAY),
        Dated("2.5", "2.5", NOW - 2 * DAY),
        Dated("3", "3", NOW - DAY),
        Dated("a.whl", "1", NOW - 3 * DAY, is_file=True),
    ]
    found = verdicts.held(*verdicts.judged(entries, Seen(NOW), {}, NOW))
    assert list(found.versions) == ["2", "2.5"]
    assert list(found.files) == ["a.whl"]
    assert found.due == NOW + 4 * DAY


def test_stamps__a_change_of_rules_or_exemptions_is_another_and_blocks_have_their_own() -> None:
    made = [
        Policy((), WEEK),
        Policy((), Rules({"": AgeRule(8 * DAY)})),
        Policy((), WEEK, [exemption()]),
        Policy((), WEEK, [exemption("2")]),
        Policy((), WEEK, [exemption(sha256=DIGEST)]),
    ]
    stamps = [each.of("pypi", "demo") for each in made]
    assert len({each.rules_stamp for each in stamps}) == len(made)
    assert {each.stamp for each in stamps} == {""}
    assert Policy([block()], WEEK).of("pypi", "demo").rules_stamp == stamps[0].rules_stamp


def test_blocked_version__some_bytes_of_it_are_exempt__the_page_has_them_alone() -> None:
    exempt = [exemption(sha256=DIGEST)]
    stamps = {Policy([block("2")], Rules(), each).of("pypi", "demo").rules_stamp for each in ([], exempt)}
    assert len(stamps) == 2, "such pages are made anew"
    verdicts = Policy([block("2")], Rules(), exempt).of("pypi", "demo")
    assert verdicts.judges and verdicts.of_page("2") is None
    for is_file in (True, False):
        entries = [
            Dated("a.whl", "2", mark=DIGEST, is_file=is_file),
            Dated("b.whl", "2", mark="cd" * 32, is_file=True),
            Dated("c.whl", "3", is_file=is_file),
        ]
        found = verdicts.held(*verdicts.judged(entries, Seen(1.0), {}, NOW))
        assert [each.name for each in entries if found.of_file(each.version, each.name, "").allowed] == [
            "a.whl",
            "c.whl",
        ]


def test_rules__of_the_environment() -> None:
    environment = {
        "ORCHARD_MINIMUM_AGE": "36h",
        "ORCHARD_MINIMUM_AGE_NPM": "0",
        "ORCHARD_MINIMUM_AGE_PYPI": "",
    }
    rules = rules_of(load_settings({**environment, "ORCHARD_NOTHING_AFTER": "2026-11-01"}))
    assert rules == Rules({"": AgeRule(36 * 3600), "npm": AgeRule(0.0)}, 1793491200.0)


def test_rules__put_in_force__a_stricter_one_begins_now_and_a_laxer_one_when_it_did() -> None:
    def ages(**days: int) -> Rules:
        return Rules({name.strip("_"): AgeRule(count * DAY) for name, count in days.items()})

    first = put_in_force(ages(_=7), None, 100.0)
    assert first.ages == {"": AgeRule(7 * DAY, 100.0)}
    assert put_in_force(ages(_=3), first, 200.0).ages[""].since == 100.0
    assert put_in_force(ages(_=9), first, 200.0).ages[""].since == 200.0
    both = put_in_force(ages(_=7, npm=8, cargo=2), first, 200.0)
    assert [both.ages[name].since for name in ("", "npm", "cargo")] == [100.0, 200.0, 100.0]
    assert first.is_as(ages(_=7)) and not first.is_as(ages(_=8))


@pytest.mark.parametrize(
    ("published", "stored_at", "expected"),
    [
        (90.0, 0.0, True),
        (100.0, 0.0, True),
        (101.0, 0.0, False),
        (0.0, 0.0, None),
        (0.0, 99.0, True),
        (101.0, 99.0, True),
    ],
)
def test_view__one_more_bound_that_no_exemption_lifts(
    published: float, stored_at: float, expected: bool | None
) -> None:
    exempt = Exemption(1, "ours", "pypi", "demo")
    seen = Policy(exemptions=[exempt]).of("pypi", "demo").seen_from(100.0)
    found = seen.verdict(Subject("pypi", "demo", "1.0", "", published, stored_at), 1000.0)
    assert (None if found is None else found.allowed) is expected
    assert seen.any and seen.judges
    assert seen.rules_stamp != Policy(exemptions=[exempt]).of("pypi", "demo").seen_from(101.0).rules_stamp


def test_what_compares_versions__spares_what_was_stored_before_it_alone() -> None:
    """A later one may be served because of what stayed: it was not stored before the rule."""
    rules = Rules(trust="no-downgrade", trust_since=100.0)
    named = NamedRule("new scripts", install_scripts="new", since=200.0)
    verdicts = Policy((), rules, named_rules=[named]).of("npm", "x")
    for refused, began in (
        (Verdict(False, "trust", "it has no provenance"), 100.0),
        (Verdict(False, "policy", "new scripts: its install runs code"), 200.0),
    ):
        assert verdicts.spares(refused, began - 1)
        assert not verdicts.spares(refused, began)
    assert not verdicts.spares(Verdict(False, "policy", "another rule: no"), 1.0)
    assert verdicts.as_if_new().trust == TrustRule(True, since=100.0, stored_stay=False)


def test_refusal_of_a_page__has_no_gap_where_there_is_no_version() -> None:
    about = About("npm", "x", (Advisory("MAL-1", True, spans=(Span(),)),))
    advisories = Advisories([Snapshot(make_snapshot([about]))], "x")
    policy = Policy((), Rules(feeds=True), advisories=advisories)
    with pytest.raises(Malware, match=r"^x is malware: MAL-1"):
        policy.check("npm", "x", page=True)


def test_names_that_nobody_has__push_out_no_project_that_is_asked_for() -> None:
    it = Policy(rules=Rules(trust="no-downgrade"))
    kept = it.of("pypi", "demo")
    for number in range(3 * REMEMBERED):
        it.of("pypi", f"made-up-{number}")
        if number % 1000 == 0:
            assert it.of("pypi", "demo") is kept
    it.of("pypi", "last")
    assert len(it._exact) == REMEMBERED
