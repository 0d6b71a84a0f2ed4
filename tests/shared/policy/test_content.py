"""What the rules of the policy file come to, over versions as a list tells them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from shared.errors import RefusedByPolicy
from shared.policy import licences, typos
from shared.policy.age import Dated, Seen
from shared.policy.content import Held, Listed, Project, as_told, judge, told
from shared.policy.named import Licences, NamedRule
from shared.policy.policy import Policy
from shared.policy.rules import Block, Exemption, Rules
from shared.policy.traits import Change, Traits, change_of
from shared.policy.verdict import UNKNOWN, Subject, Verdict

DAY = 86_400.0
NOW = 1_800_000_000.0
PROJECT = Project("pypi", "demo", "central", NOW - 90 * DAY)


def rule(**asks: Any) -> NamedRule:
    return NamedRule(**{"name": "r", "since": NOW - 50 * DAY, **asks})


def listed(version: str, age_days: float = 10.0, *, stored: float = 0.0, **traits: Any) -> Listed:
    return Listed(Traits(version, **traits), NOW - age_days * DAY, stored)


def judged(rules: list[NamedRule], *versions: Listed, stay: bool = True) -> dict[str, Held]:
    return judge(rules, PROJECT, versions, lambda each: None, stored_stay=stay, now=NOW)


def held(rules: list[NamedRule], *versions: Listed, stay: bool = True) -> list[str]:
    found = judged(rules, *versions, stay=stay)
    return [version for version, each in found.items() if each.verdict is not None]


@pytest.mark.parametrize(
    ("asks", "stays"),
    [
        ({"refuse": True}, False),
        ({"only": True}, False),
        ({"nothing_after": "2020-01-01"}, False),
        ({"minimum_age": "300d"}, True),
        ({"licences": Licences(deny=("MIT",))}, True),
        ({"when": "true"}, True),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_was_stored_before_a_rule_about_a_source__stays_unless_the_rule_spares_nothing(
    asks: dict[str, Any], stays: bool
) -> None:
    one = rule(sources=("central",), **asks)
    version = listed("1.0", 60, stored=NOW - 55 * DAY, licence="MIT")
    assert held([one], version) == ([] if stays else ["1.0"])
    assert held([one], version, stay=False) == ["1.0"]
    assert one.spares(NOW - 55 * DAY) is stays


def test_install_scripts__new_since_the_last_allowed() -> None:
    new = rule(install_scripts="new")
    versions = [
        listed("0.9", 60, scripts=True),  # before the rule
        listed("1.0", 40),
        listed("1.1", 30, scripts=True),
        listed("1.2", 20, scripts=True),  # 1.1 is held: new all the same
        listed("1.3", 10, sdist_only=True),
        listed("1.4", 5),
    ]
    assert held([new], *versions) == ["1.1", "1.2", "1.3"]
    assert held([rule(install_scripts="any")], *versions) == ["0.9", "1.1", "1.2", "1.3"]


def test_install_scripts__of_all_versions_ever__are_not_new() -> None:
    assert (
        held([rule(install_scripts="new")], listed("1.0", 9, scripts=True), listed("1.1", 8, scripts=True))
        == []
    )


def test_what_other_rules_hold__is_no_version_to_start_from() -> None:
    versions = [listed("1.0", 40), listed("1.1", 30, scripts=True), listed("1.2", 20, scripts=True)]

    def others(each: Listed) -> Verdict | None:
        return Verdict(True, "exemption") if each.traits.version == "1.1" else None

    found = judge([rule(install_scripts="new")], PROJECT, versions, others, stored_stay=True, now=NOW)
    assert [each.verdict for each in found.values()] == [None, None, None]

    def unknown(each: Listed) -> Verdict | None:
        return UNKNOWN if each == versions[0] else None

    found = judge([rule(install_scripts="new")], PROJECT, versions, unknown, stored_stay=True, now=NOW)
    assert found["1.1"].change == Change()


def test_stored_before_the_rule__stays() -> None:
    agpl = rule(licences=Licences(deny=("AGPL-3.0-only",)))
    before, after = NOW - 60 * DAY, NOW - 40 * DAY
    versions = [listed(str(at), stored=at, licence="AGPL-3.0-only") for at in (before, after)]
    assert held([agpl], *versions) == [str(after)]
    assert held([agpl], *versions, stay=False) == [str(before), str(after)]


@pytest.mark.parametrize(("unknown", "expected"), [("allow", []), ("hold", ["1", "2"])])
def test_licence__that_nobody_tells_readably(unknown: Any, expected: list[str]) -> None:
    asks = rule(licences=Licences(allow=("MIT",), unknown=unknown))
    assert held([asks], listed("1"), listed("2", licence="see there"), listed("3", licence="MIT")) == expected


@pytest.mark.parametrize(("sources", "expected"), [((), ["1"]), (("central",), ["1"]), (("other",), [])])
def test_sources__of_the_list(sources: tuple[str, ...], expected: list[str]) -> None:
    asks = rule(minimum_age="20d", sources=sources)
    assert held([asks], listed("1")) == expected
    assert (
        judge([asks], Project("pypi", "demo"), [listed("1")], lambda _: None, stored_stay=True, now=NOW)[
            "1"
        ].verdict
        is not None
    ), "where nobody knows, the rule counts"


def test_warning__holds_nothing_and_is_told() -> None:
    found = judged([rule(when="true", action="warn"), rule(name="s", when="false")], listed("1"))
    assert (found["1"].verdict, found["1"].warnings) == (None, {"r": "r: its condition holds"})


@pytest.mark.parametrize(("unknown", "expected"), [("allow", []), ("hold", ["1"])])
def test_condition_without_an_answer(unknown: Any, expected: list[str]) -> None:
    assert held([rule(when="1 / size_bytes == 1", unknown=unknown)], listed("1")) == expected


@pytest.mark.parametrize(("used_days", "expected"), [(60, []), (40, ["1"]), (0, ["1"])])
def test_typo__of_a_name_that_was_used_here_before_the_rule__is_none(
    used_days: float, expected: list[str]
) -> None:
    project = Project("pypi", "reqests", used_since=NOW - used_days * DAY if used_days else 0.0)
    found = judge(
        [rule(typo_of=("requests",))], project, [listed("1")], lambda _: None, stored_stay=True, now=NOW
    )
    assert [version for version, each in found.items() if each.verdict] == expected


def test_change__what_the_last_allowed_had_not() -> None:
    before = Traits("1", "MIT", dependencies=("a",), maintainers=("x",), size_bytes=10)
    after = Traits("2", "ISC", True, dependencies=("a", "b"), maintainers=("y",), size_bytes=35)
    assert change_of(after, before) == Change("1", ("b",), ("y",), True, ("MIT", "ISC"), 3.5)
    assert change_of(before, None) == Change()


def test_told__under_other_rules_or_over__is_not_known() -> None:
    refused = Verdict(False, "policy", "r: see there", NOW + DAY)
    assert as_told("s", told("s", None), NOW) is None
    assert as_told("s", told("s", refused), NOW) == refused
    assert as_told("s", told("s", refused), NOW + DAY) is UNKNOWN
    assert as_told("s", told("t", None), NOW) is UNKNOWN
    assert as_told("s", told("t", refused), NOW) is UNKNOWN
    assert as_told("s", "", NOW) is UNKNOWN


def policy(*rules: NamedRule, exempt: str = "") -> Policy:
    exemptions = [Exemption(1, "ok", "pypi", "demo", exempt)] if exempt else []
    return Policy((), Rules(), exemptions, named_rules=rules)


@pytest.mark.parametrize("asks", [{"refuse": True, "names": ("demo",)}, {"only": True, "names": ("other",)}])
def test_name__refused_or_on_no_list(asks: dict[str, Any]) -> None:
    of = policy(rule(**asks))
    for version in ("", "1"):
        with pytest.raises(RefusedByPolicy):
            of.check("pypi", "demo", version)
        of.check("pypi", "another" if "refuse" in asks else "other", version)
    approved = policy(rule(**asks), exempt="1")
    approved.check("pypi", "demo", "1")
    approved.check("pypi", "demo", page=True)  # its page shows what is approved
    with pytest.raises(RefusedByPolicy):
        approved.check("pypi", "demo", "2")
    entries, contents = approved.of("pypi", "demo").judged(
        [Dated("1", "1", NOW), Dated("2", "2", NOW)], Seen(NOW), {}, NOW, PROJECT
    )
    assert list(approved.of("pypi", "demo").held(entries, contents).versions) == ["2"]


def test_stamps__a_change_of_the_rules_or_of_what_is_decided_is_another() -> None:
    one, two = rule(when="true"), rule(when="false")
    states = [policy(one), policy(two), policy(one, two), policy(one, exempt="1"), policy()]
    found = [each.of("pypi", "demo") for each in states]
    assert len({each.rules_stamp for each in found}) == len(states)
    assert len({each.content_stamp for each in found}) == len(states)
    assert not policy(rule(refuse=True, names=("x",))).of("pypi", "demo").any
    blocked = Policy([Block(1, "no", "pypi", "demo", "1")], Rules(), named_rules=(one,))
    other = policy(one, exempt="1").of("pypi", "demo")
    assert blocked.of("pypi", "demo").content_stamp != other.content_stamp


def test_file__not_judged_yet__nobody_gets_it() -> None:
    of = policy(rule(when="false"))
    unknown = Subject("pypi", "demo", "1", published=NOW - DAY)
    assert not of.admits(unknown, NOW)
    stamp = of.of("pypi", "demo").content_stamp
    assert of.admits(Subject("pypi", "demo", "1", published=NOW - DAY, judged=stamp), NOW)
    refused = told(stamp, Verdict(False, "policy", "r: no"))
    with pytest.raises(RefusedByPolicy, match="r: no"):
        of.admits(Subject("pypi", "demo", "1", judged=refused), NOW)


def test_minimum_age__by_name__takes_the_place_of_the_settings() -> None:
    of = policy(rule(minimum_age="0", names=("demo",)), rule(name="week", minimum_age="7d"))
    assert of.of("pypi", "demo").age is None
    limit = of.of("pypi", "other").age
    assert limit is not None and limit.seconds == 7 * DAY


def test_many_versions__what_their_name_or_one_licence_comes_to__is_worked_out_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []
    edits, allows = typos._edits, licences.allows

    def edits_of(name: str) -> Iterator[str]:
        asked.append(name)
        return edits(name)

    def allows_it(text: str, allowed: Iterable[str], denied: Iterable[str]) -> bool:
        asked.append(text)
        return allows(text, allowed, denied)

    monkeypatch.setattr(typos, "_edits", edits_of)
    monkeypatch.setattr(licences, "allows", allows_it)
    rules = [rule(typo_of=("once-asked-names",)), rule(licences=Licences(deny=("AGPL-3.0-only",)))]
    project = Project("pypi", "once-asked-nam")
    versions = [listed(str(number), licence="MIT OR ISC") for number in range(500)]
    found = judge(rules, project, versions, lambda _: None, stored_stay=True, now=NOW)
    assert all(each.verdict is None for each in found.values())
    assert asked == ["once-asked-nam", "MIT OR ISC"]
