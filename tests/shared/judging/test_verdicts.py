"""What is said of a project's versions and stored files: as its page takes them, and as files are
answered."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from shared.errors.passing import AdvisoriesUnknown
from shared.judging.listings import Listing
from shared.judging.verdicts import Judged, judge
from shared.models import SealedFile
from shared.policy.advisories import About, Advisories, Advisory, Snapshot, make_snapshot
from shared.policy.age import Seen
from shared.policy.content import told
from shared.policy.named import NamedRule
from shared.policy.policy import Policy
from shared.policy.rules import AgeRule, Block, Exemption, Rules
from shared.policy.verdict import Verdict
from shared.protocols import named_alike, protocol_named
from shared.protocols.base import PackageProxyBase
from tests.shared.protocols.test_dates import CASES, DAY, NOW, SHA, file_of

OTHER = "77" * 32
WEEK = Rules({"": AgeRule(7 * DAY)}, stored_stay=False)
AGAINST = {
    "minimum_age": "the minimum age: published",
    "vulnerability": "the advisory GHSA-1 (critical): it leaks",
    "policy": "the rule no two: ",
}
kinds = pytest.mark.parametrize("protocol", CASES)


class Read(Listing, frozen=True):
    """A list that `test_dates` makes: 2.0 of it is young."""

    def document(self, protocol: PackageProxyBase) -> Any:
        return CASES[protocol.name][1]()


def stored(protocol: str, version: str, sha256: str = OTHER, **facts: Any) -> SealedFile:
    """A file of a version."""
    file = file_of(protocol, version)
    return SealedFile(file.filename, file.file_id, sha256, 1, **{"stored_at": NOW - DAY, **facts})


def judged(protocol: str, policy: Policy, *sealed: SealedFile) -> Judged:
    listing = Read(CASES[protocol][0], b"", Seen(NOW - DAY), list(sealed))
    return judge(protocol_named(protocol), listing, policy, NOW)


def versions(protocol: str) -> tuple[str, str]:
    """The young one, as it is spelt and canonical."""
    spelt = "2.0" if protocol in ("pypi", "maven") else "2.0.0"
    return spelt, protocol_named(protocol).names.canonical_version(spelt)


@kinds
def test_no_advisories_known_where_rules_ask_for_them__nothing_is_said(protocol: str) -> None:
    with pytest.raises(AdvisoriesUnknown):
        judged(protocol, Policy((), Rules(feeds=True)))


@kinds
@pytest.mark.parametrize("rule", ["block", "exemption"])
def test_bytes_of_a_stored_file__are_said_of_its_version(protocol: str, rule: str) -> None:
    """Also where its list does not tell their SHA256. Of another file of a version alone nothing is."""
    spelt, version = versions(protocol)
    blocks = [Block(1, "no", sha256=OTHER)] if rule == "block" else []
    exempt = [Exemption(1, "ours", sha256=OTHER)] if rule == "exemption" else []
    policy = Policy(blocks, WEEK, exempt)
    file = stored(protocol, spelt)
    found = judged(protocol, policy, file)
    for verdict in (found.verdict(version), found.verdict(version, OTHER)):
        assert verdict is not None and (verdict.allowed, verdict.rule) == (rule == "exemption", rule)
    (entry,) = (each for each in found.entries if each.files)
    assert [verdict.rule for _, verdict in entry.files] == [rule]
    beside = {"pypi": ".metadata", "maven": "-sources.jar"}.get(protocol)
    if beside is not None:
        name = file.filename.removesuffix(".jar") + beside
        found = judged(protocol, policy, msgspec.structs.replace(file, filename=name))
        verdict = found.verdict(version)
        assert verdict is not None and verdict.rule == "minimum_age"
        (entry,) = (each for each in found.entries if each.files)
        assert [verdict.rule for _, verdict in entry.files] == [rule]


def test_maven__version_of_several_files__is_blocked_with_one_and_exempt_with_all() -> None:
    jar = stored("maven", "2.0")
    pom = msgspec.structs.replace(jar, filename="a-2.0.pom", sha256=SHA)
    for blocks, exempt, rule in (
        ([Block(1, "no", sha256=SHA)], [Exemption(1, "ours", sha256=OTHER)], "block"),
        ([], [Exemption(1, "ours", sha256=OTHER)], "minimum_age"),
        ([], [Exemption(1, "ours", sha256=SHA), Exemption(2, "ours", sha256=OTHER)], "exemption"),
    ):
        verdict = judged("maven", Policy(blocks, WEEK, exempt), jar, pom).verdict("2.0")
        assert verdict is not None and verdict.rule == rule


@kinds
def test_stored_file__is_answered_by_its_own_date_and_by_what_it_was_judged_to_be(protocol: str) -> None:
    spelt, version = versions(protocol)
    old = judged(protocol, Policy((), WEEK), stored(protocol, spelt, published=NOW - 30 * DAY))
    answered = old.verdict(version, OTHER)
    assert answered is not None and answered.allowed
    policy = Policy(named_rules=[NamedRule("x", when='licence == "none"')])
    stamp = policy.of(protocol, CASES[protocol][0]).content_stamp
    against = told(stamp, Verdict(False, "policy", "x: no"))
    for text, allowed in ((against, False), ("", True), ("older " + against, True)):
        answered = judged(protocol, policy, stored(protocol, spelt, judged=text)).verdict(version, OTHER)
        assert answered is not None and answered.allowed is allowed


@kinds
def test_stored_and_not_listed__is_told_too(protocol: str) -> None:
    block = Block(1, "no", sha256=OTHER)
    found = judged(protocol, Policy([block], WEEK), stored(protocol, "0.8.0"))
    version = protocol_named(protocol).names.canonical_version("0.8.0")
    verdict = found.verdict(version)
    assert verdict is not None and verdict.rule == "block"
    assert found.verdict("99") is None, "of what nobody knows here an age is not known"
    (entry,) = (each for each in found.entries if each.listed.unlisted)
    assert [file.sha256 for file, _ in entry.files] == [OTHER]


def test_files_of_one_version__what_is_said_of_one_s_bytes_is_no_word_on_the_others() -> None:
    """Each rule of the policy file is asked of a version once, by its files of which nothing is said."""
    wheel = stored("pypi", "2.0")
    other = msgspec.structs.replace(wheel, file_id="cd" * 32, filename="a_b-2.0.tar.gz", sha256=SHA)
    policy = Policy(
        (), Rules(), [Exemption(1, "ours", sha256=OTHER)], named_rules=[NamedRule("x", when="true")]
    )
    found = judged("pypi", policy, wheel, other)
    assert [found.verdict("2", each).rule for each in (OTHER, SHA)] == ["exemption", "policy"]  # type: ignore[union-attr]


@kinds
@pytest.mark.parametrize("rule", ["minimum_age", "vulnerability", "policy"])
def test_served_for_being_stored_before_alone__is_told_with_what_is_against_it(
    protocol: str, rule: str
) -> None:
    spelt, version = versions(protocol)
    project, began = CASES[protocol][0], NOW - DAY / 2
    leak = Advisory("GHSA-1", False, 9.0, began, versions=(version,), summary="it leaks")
    about = About(protocol, named_alike(protocol, project), (leak,))
    known = Advisories([Snapshot(make_snapshot([about]))], "x")
    policy = {
        "minimum_age": Policy((), Rules({"": AgeRule(7 * DAY, began)})),
        "vulnerability": Policy((), Rules(feeds=True, severity=7.0), named=named_alike, advisories=known),
        "policy": Policy(named_rules=[NamedRule("no two", when="true", since=began)]),
    }[rule]
    for at, is_told in ((NOW - DAY, True), (NOW, False)):
        young = {"published": NOW - DAY} if rule == "minimum_age" else {}
        listing = Read(project, b"", Seen(NOW - DAY), [stored(protocol, spelt, stored_at=at, **young)])
        found = judge(protocol_named(protocol), listing, policy, NOW, why=True)
        said = [found.verdict(version), found.verdict(version, OTHER)]
        if not is_told:
            assert [each.allowed for each in said if each] == [False, False], "it came later, and is refused"
            continue
        for each in said:
            assert each is not None and (each.allowed, each.rule) == (True, "stored")
            assert "before" in each.why and AGAINST[rule] in each.why
        plain = judge(protocol_named(protocol), listing, policy, NOW).verdict(version)
        assert plain is not None and plain.allowed, "it decides nothing"


@kinds
@pytest.mark.parametrize("published", [0.0, NOW - 30 * DAY], ids=["no date", "a date"])
def test_stored_file_that_no_list_has__is_told_to_count_from_when_it_came_where_nobody_dates_it(
    protocol: str, published: float
) -> None:
    of = stored(protocol, "9.9.9", published=published)
    (entry,) = [each for each in judged(protocol, Policy(rules=WEEK), of).entries if each.listed.unlisted]
    assert entry.listed.here_since is (not published)
    assert entry.published == (published or of.stored_at)
