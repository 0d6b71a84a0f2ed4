"""Which versions an advisory is about, and snapshots of many."""

from __future__ import annotations

import random

import msgspec
import pytest

from shared.errors import Blocked, Malware, RefusedByPolicy, TooYoung
from shared.errors.passing import AdvisoriesUnknown
from shared.policy import advisories
from shared.policy.advisories import About, Advisories, Advisory, Damaged, Snapshot, Span, make_snapshot
from shared.policy.policy import Policy, Subject
from shared.policy.rules import AgeRule, Block, Exemption, Rules, put_in_force
from shared.policy.verdict import Verdict
from shared.protocols import named_alike, version_key

NOW = 1_000_000.0


def order(protocol: str = "npm") -> object:
    return lambda version: version_key(protocol, version)


@pytest.mark.parametrize(
    ("protocol", "span", "affected", "spared"),
    [
        ("npm", Span(), ["0.0.1", "not-a-version"], []),
        (
            "npm",
            Span("1.0.0", fixed="2.0.0"),
            ["1.0.0", "1.9.9", "2.0.0-rc.1"],
            ["0.9.9", "2.0.0", "1.0.0-rc"],
        ),
        ("npm", Span("1.0.0", last="1.2.0"), ["1.2.0"], ["1.2.1"]),
        ("cargo", Span("0.9.0", fixed="0.10.0"), ["0.9.9"], ["0.10.0", "0.8.0"]),
        ("pypi", Span("1.0", fixed="1.0.post1"), ["1.0", "1.0.0"], ["1.0.post1", "1.0rc1"]),
        ("pypi", Span(fixed="1!1.0"), ["2024.1"], ["1!1.0"]),
        ("maven", Span("1.0", fixed="1.0.1"), ["1.0", "1.0-sp", "1.0.0"], ["1.0-rc1", "1.0.1"]),
        ("maven", Span("2.0-beta9", fixed="2.15.0"), ["2.0", "2.14.1"], ["2.0-alpha1", "2.15.0"]),
    ],
)
def test_span__by_the_order_of_each_protocol(
    protocol: str, span: Span, affected: list[str], spared: list[str]
) -> None:
    advisory = Advisory("GHSA-1", False, spans=(span,))
    assert [v for v in [*affected, *spared] if advisory.affects(v, order(protocol))] == affected


def test_version_without_a_place_in_the_order__malware_by_any_span_and_no_vulnerability() -> None:
    spans = (Span("1.0.0", fixed="2.0.0"),)
    assert Advisory("MAL-1", True, spans=spans).affects("latest-build", order())
    assert not Advisory("GHSA-1", False, spans=spans).affects("latest-build", order())
    assert Advisory("MAL-1", True, spans=(Span("1.0.0", fixed="??"),)).affects("9.0.0", order())


def records(count: int) -> list[About]:
    return [
        About("npm", f"name-{n}", (Advisory(f"MAL-{n}", True, spans=(Span(),), aliases=(f"GHSA-{n}",)),))
        for n in range(count)
    ]


def test_snapshot__finds_each_project_and_no_other_and_does_not_depend_on_the_order() -> None:
    made = records(500)
    data = make_snapshot(made)
    random.Random(1).shuffle(made)
    assert make_snapshot(made) == data
    snapshot = Snapshot(data)
    assert (snapshot.count, snapshot.projects) == (500, 500)
    for each in made:
        assert snapshot.of(each.protocol, each.project) == each.advisories
    assert snapshot.of("npm", "name-500") == () == snapshot.of("pypi", "name-1")
    assert sorted(each.project for each in snapshot) == sorted(each.project for each in made)


def test_snapshot__by_the_id_or_alias_of_an_advisory() -> None:
    snapshot = Snapshot(make_snapshot(records(50)))
    assert [each.project for each in snapshot.named("MAL-7")] == ["name-7"]
    assert [each.project for each in snapshot.named("GHSA-49")] == ["name-49"]
    assert snapshot.named("MAL-") == [] == snapshot.named("MAL-77") == snapshot.named("")


def test_snapshot__what_only_begins_as_the_id__is_passed_over_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the beginning of all ids would have every record read."""
    snapshot = Snapshot(make_snapshot(records(50)))
    read = []
    monkeypatch.setattr(Snapshot, "_record", lambda _, at: read.append(at))
    assert snapshot.named("MAL-") == [] == read


def test_snapshot__an_id_of_very_many_projects__some_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(advisories, "MOST_NAMED", 3)
    same = Advisory("MAL-1", True, spans=(Span(),))
    snapshot = Snapshot(make_snapshot(About("npm", f"name-{n}", (same,)) for n in range(10)))
    assert len(snapshot.named("MAL-1")) == 3


@pytest.mark.parametrize("cut", [0, 10, 40, 200, -1])
def test_snapshot__cut_off__is_damaged(cut: int) -> None:
    with pytest.raises(Damaged):
        Snapshot(make_snapshot(records(20))[:cut])


def test_snapshot__of_another_format__is_damaged() -> None:
    data = bytearray(make_snapshot(records(2)))
    data[4] = 99
    with pytest.raises(Damaged):
        Snapshot(bytes(data))


def test_advisories__of_several_feeds__each_once_and_malware_first() -> None:
    severe, mild = (Advisory(f"GHSA-{n}", False, score=n, spans=(Span(),)) for n in (9.0, 2.0))
    malware = Advisory("MAL-1", True, spans=(Span(),))
    feeds = [
        Snapshot(make_snapshot([About("npm", "x", advisories)]))
        for advisories in [(mild, malware), (malware, severe)]
    ]
    assert Advisories(feeds, "").of("npm", "x") == (malware, severe, mild)


def test_advisories__of_one_id__what_any_feed_says_is_affected_and_the_graver_score_counts() -> None:
    older = Advisory("MAL-1", True, seen_at=5.0, versions=("1.5.0",), aliases=("A",))
    newer = Advisory("MAL-1", True, 9.8, 7.0, (Span("3.0.0"),), ("1.5.0", "2.0.0"), summary="it steals")
    union = Advisory("MAL-1", True, 9.8, 5.0, (Span("3.0.0"),), ("1.5.0", "2.0.0"), ("A",), "it steals")
    feeds = [Snapshot(make_snapshot([About("npm", "x", (each,))])) for each in (older, newer)]
    assert Advisories(feeds, "").of("npm", "x") == Advisories(feeds[::-1], "").of("npm", "x") == (union,)


# --- verdicts -----------------------------------------------------------------------------------------


def policy(*advisories: Advisory, protocol: str = "npm", name: str = "x", **more: object) -> Policy:
    rules = more.pop("rules", Rules(feeds=True, severity=7.0))
    known = Advisories([Snapshot(make_snapshot([About(protocol, name, advisories)]))], "")
    return Policy(rules=rules, named=named_alike, order=version_key, advisories=known, **more)  # type: ignore[arg-type]


MALWARE = Advisory("MAL-1", True, spans=(Span("2.0.0"),))
SEVERE = Advisory(
    "GHSA-1", False, score=8.0, seen_at=NOW, spans=(Span("1.0.0", fixed="1.5.0"),), summary="it leaks"
)
YOUNG = Rules(feeds=True, severity=7.0, ages={"": AgeRule(86_400.0)})


def refused(it: Policy, version: str, **more: float) -> str:
    """The code of the refusal; "" if it is served."""
    try:
        it.check_file(
            Subject("npm", "x", version, published=more.get("published", 1.0), **_stored(more)), NOW
        )
    except Blocked as error:
        return error.code
    return ""


def _stored(more: dict[str, float]) -> dict[str, float]:
    return {"stored_at": more["stored_at"]} if "stored_at" in more else {}


def test_verdict__malware__refused_also_where_it_is_stored_and_others_are_not() -> None:
    it = policy(MALWARE)
    assert [refused(it, v) for v in ("1.9.9", "2.0.0", "3.0.0")] == ["", "malware", "malware"]
    assert refused(it, "2.0.0", stored_at=5.0) == "malware"
    with pytest.raises(Malware):
        it.check("npm", "x", "2.0.0")
    it.check("npm", "x")


def test_verdict__order_of_the_rules() -> None:
    by_name = {"protocol": "npm", "name": "x"}
    block = Block(1, "no", version="2.0.0", **by_name)
    exempt = Exemption(1, "yes", version="2.0.0", covers_malware=True, **by_name)
    young = {"published": NOW - 60.0}
    assert refused(policy(MALWARE, blocks=[block], rules=YOUNG), "2.0.0", **young) == "blocked"
    assert refused(policy(MALWARE, exemptions=[exempt], rules=YOUNG), "2.0.0", **young) == ""
    assert refused(policy(MALWARE, rules=YOUNG), "2.0.0", **young) == "malware"
    assert refused(policy(MALWARE, SEVERE, rules=YOUNG), "1.2.0", **young) == "too_young"
    assert refused(policy(MALWARE, SEVERE, rules=YOUNG), "1.2.0") == "policy"
    assert refused(policy(MALWARE, SEVERE, rules=YOUNG), "1.5.0") == ""


@pytest.mark.parametrize(
    "of",
    [
        {"sha256": "ab" * 32},
        {"protocol": "npm", "name": "x", "version": "2.0.0"},
        {"protocol": "npm", "name": "x"},
    ],
    ids=["bytes", "version", "name"],
)
def test_exemption_that_is_not_of_malware__spares_it_from_all_else(of: dict[str, str]) -> None:
    it = policy(MALWARE, exemptions=[Exemption(1, "needed", **of)], rules=YOUNG)
    of_malware = policy(MALWARE, exemptions=[Exemption(1, "ours", covers_malware=True, **of)], rules=YOUNG)
    young = Subject("npm", "x", "2.0.0", "ab" * 32, published=NOW - 60.0)
    found = it.verdict(young, NOW)
    assert found is not None and found.rule == "malware" and "it is exempt, but" in found.why
    assert of_malware.verdict(young, NOW) == Verdict(True, "exemption", "ours", covers_malware=True)
    assert it.of("npm", "x").as_evidence("2.0.0", "ab" * 32) is not None
    assert of_malware.of("npm", "x").as_evidence("2.0.0", "ab" * 32) is None
    stamps = [each.of("npm", "x").rules_stamp for each in (it, of_malware)]
    assert stamps[0] != stamps[1], "pages are made anew"
    harmless = policy(exemptions=[Exemption(1, "needed", **of)], rules=YOUNG)
    found = harmless.verdict(young, NOW)
    assert found is not None and found.rule == "exemption"


def test_all_malware__an_exemption_that_is_not_of_it_makes_no_page() -> None:
    everything = Advisory("MAL-2", True, spans=(Span(),))
    exempt = Exemption(1, "needed", "npm", "x", "2.0.0")
    with pytest.raises(Malware):
        policy(everything, exemptions=[exempt]).check("npm", "x", page=True)
    policy(everything, exemptions=[msgspec.structs.replace(exempt, covers_malware=True)]).check(
        "npm", "x", page=True
    )


def test_exempt_bytes__spare_malware_and_what_lies_beside_them() -> None:
    sha256, other = "ab" * 32, "cd" * 32
    it = policy(MALWARE, exemptions=[Exemption(1, "ours", sha256=sha256, covers_malware=True)])

    def admitted(*digests: str) -> bool:
        own, promised = (*digests, "")[:2]
        try:
            return it.admits(Subject("npm", "x", "2.0.0", own, promised=promised), NOW)
        except Malware:
            return False

    assert [admitted(*each) for each in ((sha256,), (other,), (other, sha256), ("",))] == [
        True,
        False,
        True,
        False,
    ]
    it.check_address("npm", "x", "2.0.0", "")  # which bytes it is about is not known yet
    it.check_address("npm", "x", "2.0.0", sha256)
    for check in (it.check_new, it.check, it.check_address):
        it.check_new("npm", "x", "2.0.0", sha256)
        with pytest.raises(Malware):
            check("npm", "x", "2.0.0", other)
    with pytest.raises(Malware):
        it.check_new("npm", "x", "2.0.0")
    for block in (Block(1, "no", "npm", "x", "2.0.0"), Block(1, "no", "npm", "x")):
        spared = policy(MALWARE, blocks=[block], exemptions=it.exemptions)
        spared.check_address("npm", "x", "2.0.0", "")
        spared.check_address("npm", "x", "2.0.0", sha256)
        with pytest.raises(Blocked):
            spared.check_address("npm", "x", "2.0.0", other)
        with pytest.raises(Blocked):
            policy(MALWARE, blocks=[block]).check_address("npm", "x", "2.0.0", "")
    with pytest.raises(Malware):
        policy(MALWARE).check_address("npm", "x", "2.0.0", "")


def test_vulnerability__by_severity_and_what_was_here_before_it_was_known_stays() -> None:
    it = policy(SEVERE)
    assert [refused(it, v) for v in ("0.9.0", "1.2.0", "1.5.0")] == ["", "policy", ""]
    assert refused(it, "1.2.0", stored_at=NOW - 1.0) == ""
    assert refused(it, "1.2.0", stored_at=NOW + 1.0) == "policy"
    strict = Rules(feeds=True, severity=7.0, stored_stay=False)
    assert refused(policy(SEVERE, rules=strict), "1.2.0", stored_at=NOW - 1.0) == "policy"
    assert refused(policy(SEVERE, rules=Rules(feeds=True, severity=8.1)), "1.2.0") == ""
    assert refused(policy(SEVERE, rules=Rules(feeds=True)), "1.2.0") == ""
    later = Rules(feeds=True, severity=7.0, severity_since=NOW + 50.0)
    assert refused(policy(SEVERE, rules=later), "1.2.0", stored_at=NOW + 1.0) == ""


def test_vulnerability__unknown_severity__meant_by_any_alone() -> None:
    unknown = Advisory("GHSA-2", False, spans=(Span(),))
    assert refused(policy(unknown, rules=Rules(feeds=True, severity=0.0)), "1.0.0") == "policy"
    assert refused(policy(unknown, rules=Rules(feeds=True, severity=0.1)), "1.0.0") == ""


def test_vulnerability__its_refusal_tells_the_fixed_version() -> None:
    with pytest.raises(RefusedByPolicy, match=r"GHSA-1 \(high\): it leaks; fixed in 1\.5\.0"):
        policy(SEVERE).check_new("npm", "x", "1.2.0")


def test_stamp__differs_once_what_counts_of_a_project_does_and_no_other_projects() -> None:
    def stamp(it: Policy, name: str = "x") -> str:
        return it.of("npm", name).rules_stamp

    mild = Advisory("GHSA-3", False, score=2.0, spans=(Span(),))
    assert len({stamp(policy(*each)) for each in [(), (MALWARE,), (MALWARE, SEVERE), (SEVERE,)]}) == 4
    assert stamp(policy(MALWARE)) == stamp(policy(MALWARE, mild))
    assert stamp(policy(MALWARE), "y") == stamp(policy(), "y") == ""


def test_names_that_a_client_takes_for_the_same__one_advisory() -> None:
    it = policy(Advisory("MAL-1", True, spans=(Span(),)), protocol="cargo", name="my-crate")
    for name in ("my_crate", "my-crate"):
        with pytest.raises(Malware):
            it.check("cargo", name)


def test_all_versions_malware__the_project_is_unless_one_of_it_is_exempt() -> None:
    everything = Advisory("MAL-1", True, spans=(Span(),))
    with pytest.raises(Malware):
        policy(everything).check("npm", "x")
    one = Exemption(1, "ours", protocol="npm", name="x", version="1.0.0", covers_malware=True)
    it = policy(everything, exemptions=[one])
    it.check("npm", "x", page=True)
    it.check("npm", "x", "1.0.0")
    with pytest.raises(Malware):
        it.check("npm", "x", "2.0.0")


def test_no_advisories_known_where_the_rules_ask_for_them__nothing_is_let_through() -> None:
    it = Policy(rules=Rules(feeds=True))
    assert it.any
    with pytest.raises(AdvisoriesUnknown):
        it.check("npm", "x")
    with pytest.raises(AdvisoriesUnknown):
        it.admits(Subject("npm", "x", "1.0.0", stored_at=1.0), NOW)
    Policy(rules=Rules(feeds=False)).check("npm", "x")


def test_age_still_counts_beside_advisories() -> None:
    with pytest.raises(TooYoung):
        policy(MALWARE, rules=YOUNG).check_file(Subject("npm", "x", "1.0.0", published=NOW - 5), NOW)


def test_severity__put_in_force__a_lower_one_begins_now_and_a_higher_one_when_it_did() -> None:
    first = put_in_force(Rules(feeds=True, severity=7.0), None, 100.0)
    assert first.severity_since == 100.0
    assert put_in_force(Rules(feeds=True, severity=9.0), first, 200.0).severity_since == 100.0
    assert put_in_force(Rules(feeds=True, severity=4.0), first, 200.0).severity_since == 200.0
