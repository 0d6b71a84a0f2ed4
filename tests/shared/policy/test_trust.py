"""What the rule about provenance says of a list's versions, by what the list tells and what was verified."""

from __future__ import annotations

import msgspec
import pytest

from shared.errors import TrustDowngrade
from shared.policy import trust
from shared.policy.age import Dated, Seen
from shared.policy.evidence import Evidence, FileSignature, Publisher
from shared.policy.named import NamedRule
from shared.policy.policy import Policy
from shared.policy.project import Kept
from shared.policy.rules import Block, Exemption, Rules, put_in_force
from shared.policy.trust import RECHECK_SECONDS, TrustRule, judge, line_of, signed_before
from shared.policy.verdict import Subject, Verdict

DAY = 86_400.0
NOW = 1_800_000_000.0
OURS, THEIRS = Publisher("GitHub", "us/lib", "release.yml"), Publisher("GitHub", "them/lib", "release.yml")
NO_DOWNGRADE = Rules(trust="no-downgrade")

Entry = tuple[str, str | Evidence]
"""A version, and its provenance: "" for none, "told" for what nobody verified, or what came of that."""

BY_US, BY_THEM, FALSE = Evidence("verified", OURS), Evidence("verified", THEIRS), Evidence("failed", why="no")
UNREADABLE = Evidence("unknown", why="of a strange kind")


def listed(*entries: Entry) -> list[Dated]:
    """Published a day apart, in this order."""
    first = NOW - (len(entries) + 9) * DAY
    return [
        Dated(
            f"{number}-{version}", version, first + number * DAY, "", True, str(bool(told) or ""), str(number)
        )
        for number, (version, told) in enumerate(entries)
    ]


def evidence(*entries: Entry) -> dict[str, Evidence]:
    return {str(number): told for number, (_, told) in enumerate(entries) if isinstance(told, Evidence)}


def verdicts(policy: Policy, *entries: Entry, stored: dict[str, Kept] | None = None) -> list[Verdict | None]:
    seen = Seen(NOW - 99 * DAY, evidence=evidence(*entries))
    found, _ = policy.of("pypi", "demo").judged(listed(*entries), seen, stored or {}, NOW)
    return [verdict for _, _, verdict in found]


def held(policy: Policy, *entries: Entry) -> list[str]:
    found = verdicts(policy, *entries)
    return [
        version for (version, _), each in zip(entries, found, strict=True) if each is None or not each.allowed
    ]


CASES: dict[str, tuple[list[Entry], list[str]]] = {
    "none ever had it": ([("1.0", ""), ("1.1", ""), ("2.0", "")], []),
    "it is gone": ([("1.0", BY_US), ("1.1", "")], ["1.1"]),
    "it is gone, where nobody verified the other": ([("1.0", "told"), ("1.1", "")], ["1.1"]),
    "it begins": ([("1.0", ""), ("1.1", BY_US), ("1.2", BY_US)], []),
    "an older line never had it": ([("1.0", ""), ("2.0", BY_US), ("1.1", "")], []),
    "an older line had it too": ([("1.0", BY_US), ("2.0", BY_US), ("1.1", "")], ["1.1"]),
    "a new line goes on from the one below": ([("1.0", BY_US), ("2.0", "")], ["2.0"]),
    "lines in any order go on from the nearest below": (
        [("4.0", ""), ("1.0", BY_US), ("6.0", ""), ("3.0", ""), ("5.0", ""), ("2.0", "")],
        ["3.0", "2.0"],
    ),
    "of 0.x the second number is the line": ([("0.1.0", ""), ("0.2.0", BY_US), ("0.1.1", "")], []),
    "what is false": ([("1.0", BY_US), ("1.1", FALSE)], ["1.1"]),
    "what is false, where none had it": ([("1.0", ""), ("1.1", FALSE), ("1.2", "")], []),
    "of another repository": ([("1.0", BY_US), ("1.1", BY_THEM), ("1.2", BY_US)], ["1.1"]),
    "of another repository, spelt otherwise": (
        [("1.0", BY_US), ("1.1", Evidence("verified", Publisher("GitHub", "US/Lib", "other.yml")))],
        [],
    ),
    "of another forge": (
        [("1.0", BY_US), ("1.1", Evidence("verified", Publisher("GitLab", "us/lib")))],
        ["1.1"],
    ),
    "told and not verified": ([("1.0", BY_US), ("1.1", "told"), ("1.2", UNREADABLE)], []),
    "a file added later to a version": ([("1.0", BY_US), ("1.1", BY_US), ("1.0", "")], ["1.0"]),
    "verified once, no more told": ([("1.0", BY_US), ("1.1", BY_US), ("1.2", "")], ["1.2"]),
}


@pytest.mark.parametrize("case", CASES)
def test_no_downgrade(case: str) -> None:
    entries, expected = CASES[case]
    assert held(Policy((), NO_DOWNGRADE), *entries) == expected
    assert held(Policy((), Rules(trust="verify")), *entries) == []
    assert held(Policy(), *entries) == []


def test_refusal__says_what_there_was() -> None:
    found = verdicts(Policy((), NO_DOWNGRADE), ("1.0", BY_US), ("1.1", ""), ("1.2", BY_THEM), ("1.3", FALSE))
    assert [each and each.why for each in found] == [
        "",
        "it has no provenance, unlike 1.0",
        "published by them/lib (GitHub, release.yml), unlike those before it: us/lib (GitHub, release.yml)",
        "its provenance is false: no; 1.0 has it",
    ]
    assert found[1] is not None
    assert isinstance(found[1].refusal("demo 1.1"), TrustDowngrade)


def test_not_verified_yet__allowed_or_held_as_is_said__and_looked_at_again() -> None:
    entries: list[Entry] = [("1.0", BY_US), ("1.1", "told"), ("1.2", BY_US)]
    for unknown, allowed in (("allow", True), ("hold", False)):
        rules = msgspec.structs.replace(NO_DOWNGRADE, trust_unknown=unknown)
        found = verdicts(Policy((), rules), *entries)
        assert [each.allowed for each in found if each is not None] == [True, allowed, True]
        assert found[1] is not None
        assert found[1].until == NOW + RECHECK_SECONDS


def test_nobody_knows_where_the_others_came_from__looked_at_again() -> None:
    found = verdicts(Policy((), NO_DOWNGRADE), ("1.0", "told"), ("1.1", BY_THEM))[1]
    assert found is not None
    assert (found.allowed, found.until) == (True, NOW + RECHECK_SECONDS)


SIGNED, FORGED = Evidence("unknown", signature="verified"), Evidence("unknown", signature="failed")


@pytest.mark.parametrize(
    ("known", "has_one", "digest", "allowed", "until"),
    [
        (SIGNED, True, "b", True, 0.0),
        (FORGED, True, "b", False, 0.0),
        (None, False, "b", False, 0.0),
        (None, True, "b", True, NOW + RECHECK_SECONDS),
        (None, True, "", False, 0.0),
        (msgspec.structs.replace(SIGNED, status="failed"), True, "b", True, 0.0),
    ],
)
def test_registry_s_signature__as_its_line_had_it(
    known: Evidence | None, has_one: bool, digest: str, allowed: bool, until: float
) -> None:
    signatures = (("key", "signature"),)
    entries = [
        (Dated("1.0", "1.0", digest="a", signatures=signatures), Subject("", "", "1.0", published=1.0)),
        (
            Dated("1.1", "1.1", digest=digest, signatures=signatures if has_one else ()),
            Subject("", "", "1.1", published=2.0),
        ),
    ]
    evidence = {"a": SIGNED} if known is None else {"a": SIGNED, "b": known}
    found = judge(TrustRule(refuses=True), entries, evidence, lambda of: None, NOW).get("1.1")
    assert (found is None or found.allowed, 0.0 if found is None else found.until) == (allowed, until)


def test_many_lines__each_is_compared_with_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list of strangers may have as many lines as versions."""
    compared = []

    class Line(tuple[int, ...]):
        def __lt__(self, other: object) -> bool:
            compared.append(other)
            assert isinstance(other, tuple)
            return tuple(self) < tuple(other)

        __hash__ = tuple.__hash__

    monkeypatch.setattr(trust, "line_of", lambda version: Line((0, int(version))))
    count = 1024
    entries = [(Dated(f"{n}", f"{n}"), Subject("", "", f"{n}", published=1.0 + n % 7)) for n in range(count)]
    judge(TrustRule(refuses=True), entries, {}, lambda of: None, NOW)
    assert len(compared) < count * 12


def test_what_is_surely_false__goes_before_what_nobody_knows() -> None:
    """Of a version that has both."""
    signatures = (("key", "signature"),)
    before = Evidence("verified", OURS, signature="verified")
    entries = [
        (Dated("1.0", "1.0", digest="a", signatures=signatures), Subject("", "", "1.0", published=1.0)),
        (
            Dated("1.1", "1.1", provenance="x", digest="b", signatures=signatures),
            Subject("", "", "1.1", published=2.0),
        ),
    ]
    found = judge(TrustRule(refuses=True), entries, {"a": before, "b": FALSE}, lambda of: None, NOW)
    assert not found["1.1"].allowed


def test_what_lies_beside_a_file__is_its_verdict__until_that_is_over() -> None:
    project = Policy((), NO_DOWNGRADE).of("pypi", "demo")
    entries: list[Entry] = [("1.0", BY_US), ("1.1", "told"), ("1.2", "")]
    found = project.held(*project.judged(listed(*entries), Seen(1.0, evidence=evidence(*entries)), {}, NOW))
    assert found.due == NOW + RECHECK_SECONDS
    told = list(found.told.values())

    def again(judged: str, later: float = 0.0) -> bool | None:
        verdict = project.verdict(Subject("pypi", "demo", "1.2", judged=judged), NOW + later)
        return None if verdict is None else verdict.allowed

    assert [again(each) for each in told] == [True, True, False]
    assert [again(each, RECHECK_SECONDS) for each in told] == [True, None, False]
    assert again("of other rules") is None


def test_what_is_stored__stays_if_that_is_said() -> None:
    entries: list[Entry] = [("1.0", BY_US), ("1.1", "")]
    stored = {"1-1.1": Kept(NOW - 5 * DAY)}
    for since, stay, allowed in (
        (NOW - DAY, True, True),
        (NOW - DAY, False, False),
        (NOW - 6 * DAY, True, False),
    ):
        rules = msgspec.structs.replace(NO_DOWNGRADE, trust_since=since, stored_stay=stay)
        found = verdicts(Policy((), rules), *entries, stored=stored)[1]
        assert found is not None
        assert found.allowed is allowed


def test_exempt__is_served__and_its_repository_is_one_of_the_project_from_then_on() -> None:
    entries: list[Entry] = [("1.0", BY_US), ("1.1", BY_THEM), ("1.2", BY_THEM), ("1.3", ""), ("1.4", "")]
    assert held(Policy((), NO_DOWNGRADE), *entries) == ["1.1", "1.2", "1.3", "1.4"]
    exempt = [
        Exemption(1, "they moved", "pypi", "demo", "1.1"),
        Exemption(2, "at once", "pypi", "demo", "1.3"),
    ]
    assert held(Policy((), NO_DOWNGRADE, exempt), *entries) == ["1.4"]


def test_blocked__is_no_example() -> None:
    entries: list[Entry] = [("1.0", BY_THEM), ("1.1", BY_US)]
    blocked = Policy([Block(1, "stolen", "pypi", "demo", "1.0")], NO_DOWNGRADE)
    assert held(blocked, *entries) == ["1.0"]


def test_order__after_age__before_the_policy_file() -> None:
    old: list[Entry] = [("1.0", BY_US), ("1.1", "")]
    named = [NamedRule("no", when="version == '1.1'")]
    found = verdicts(Policy((), NO_DOWNGRADE, named_rules=named), *old)[1]
    assert found is not None
    assert found.rule == "trust"
    nothing_after = msgspec.structs.replace(NO_DOWNGRADE, nothing_after=NOW - 90 * DAY)
    young = verdicts(Policy((), nothing_after), *old)[1]
    assert young is not None
    assert young.rule == "nothing_after"


def test_of_a_policy_file__in_place_of_the_settings() -> None:
    entries: list[Entry] = [("1.0", BY_US), ("1.1", "")]
    off, on = NamedRule("a", names=("demo",), trust="off"), NamedRule("b", trust="no-downgrade")
    assert held(Policy((), NO_DOWNGRADE, named_rules=[off]), *entries) == []
    assert held(Policy((), named_rules=[on]), *entries) == ["1.1"]
    assert held(Policy((), named_rules=[off, on]), *entries) == []


@pytest.mark.parametrize("says", ["", "allow", "hold"])
def test_of_a_policy_file__what_nobody_could_verify_waits_as_it_says_or_else_as_the_settings_do(
    says: str,
) -> None:
    own = NamedRule("p", trust="no-downgrade", unverified=says)  # type: ignore[arg-type]
    it = Policy((), Rules(trust="no-downgrade", trust_unknown="hold"), named_rules=[own])
    rule = it.of("pypi", "demo").trust
    assert rule is not None and rule.unknown == (says or "hold")


def test_protocol_whose_lists_tell_nobody__is_asked_nothing() -> None:
    policy = Policy((), NO_DOWNGRADE, attests=lambda protocol: protocol == "npm")
    assert policy.of("pypi", "demo").trust is None
    assert not policy.of("pypi", "demo").judges
    assert policy.of("npm", "demo").trust is not None


def test_stamps__tell_every_change() -> None:
    policies = [
        Policy(),
        Policy((), NO_DOWNGRADE),
        Policy((), Rules(trust="verify")),
        Policy((), Rules(trust="no-downgrade", trust_unknown="hold")),
        Policy((), NO_DOWNGRADE, [Exemption(1, "", "pypi", "demo", "1.1")]),
    ]
    assert len({each.of("pypi", "demo").rules_stamp for each in policies}) == len(policies)


def test_rule__began_when_it_was_first_asked_for() -> None:
    wanted = Rules(trust="no-downgrade")
    first = put_in_force(wanted, None, NOW)
    assert first.trust_since == NOW
    assert put_in_force(wanted, first, NOW + DAY).trust_since == NOW
    verifying = put_in_force(Rules(trust="verify"), first, NOW + DAY)
    assert put_in_force(wanted, verifying, NOW + 2 * DAY).trust_since == NOW + 2 * DAY


@pytest.mark.parametrize(
    ("version", "line"),
    [
        ("1.2.3", (0, 1)), ("2!1.2", (2, 1)), ("0.3.1", (0, 0, 3)), ("10", (0, 10)), ("v4.1-rc", (0, 4)),
        ("2026.11", (0, 2026)), ("0", (0, 0)), ("none", (0, 0)),
    ],
)  # fmt: skip
def test_line(version: str, line: tuple[int, ...]) -> None:
    assert line_of(version) == line


def test_dates_that_nobody_tells__versions_in_their_own_order() -> None:
    entries = [
        (Dated(version, version, provenance=told, digest=version), Subject("", "", version, published=NOW))
        for version, told in (("1.10", "x"), ("1.9", ""), ("1.11", ""))
    ]
    assert list(judge(TrustRule(refuses=True), entries, {}, lambda of: None, NOW)) == ["1.11"]


@pytest.mark.parametrize(
    ("version", "had"),
    [("1.0", ""), ("1.5", "1.5"), ("1.6", "1.5"), ("1.10", "1.9"), ("2.0", "1.9"), ("0.9", "")],
)
def test_signed_before__the_highest_that_is_not_above(version: str, had: str) -> None:
    known = [FileSignature(each, f"a-{each}.jar", "", "verified") for each in ("1.5", "1.9")]
    known.append(FileSignature("1.0", "a-1.0.jar", "", "failed"))
    assert signed_before(version, known) == had
