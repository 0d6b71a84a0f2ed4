"""A name that is refused with all its versions, whatever refuses it, and what is exempt of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from shared.errors import Blocked
from shared.policy.advisories import About, Advisories, Advisory, Snapshot, Span, make_snapshot
from shared.policy.age import Dated, Seen
from shared.policy.named import NamedRule
from shared.policy.policy import Policy
from shared.policy.rules import Block, Exemption, Rules
from shared.policy.verdict import Subject

NOW = 1_800_000_000.0
VERSIONS = ("1.0.0", "2.0.0", "3.0.0")
Made = Callable[[list[Exemption]], Policy]


def malware(exempt: list[Exemption]) -> Policy:
    about = About("npm", "x", (Advisory("MAL-1", True, spans=(Span(),)),))
    return Policy(
        (), Rules(feeds=True), exempt, advisories=Advisories([Snapshot(make_snapshot([about]))], "1")
    )


REFUSALS: dict[str, Made] = {
    "by hand": lambda exempt: Policy([Block(1, "no", "npm", "x")], Rules(), exempt),
    "malware": malware,
    "by list": lambda exempt: Policy(
        (), Rules(), exempt, named_rules=[NamedRule(name="not this", names=("x",), refuse=True)]
    ),
}
each_refusal = pytest.mark.parametrize("refusal", REFUSALS)


@each_refusal
def test_no_version_is_exempt__pages_and_files_are_refused(refusal: str) -> None:
    policy = REFUSALS[refusal]([Exemption(1, "other", "npm", "y", "2.0.0")])
    for version in ("", *VERSIONS):
        for page in (True, False):
            with pytest.raises(Blocked):
                policy.check("npm", "x", version, page=page)


@each_refusal
def test_a_version_is_exempt__the_projects_pages_are_there_and_nothing_else_but_its_files(
    refusal: str,
) -> None:
    policy = REFUSALS[refusal]([Exemption(1, "looked at", "npm", "x", "2.0.0", covers_malware=True)])
    policy.check("npm", "x", page=True)
    for page in (True, False):
        policy.check("npm", "x", "2.0.0", page=page)
        for version in ("1.0.0", "3.0.0"):
            with pytest.raises(Blocked):
                policy.check("npm", "x", version, page=page)
    with pytest.raises(Blocked):  # a file whose name tells no version
        policy.check("npm", "x")
    with pytest.raises(Blocked):
        policy.check_file(Subject("npm", "x", "", published=1.0), NOW)


@each_refusal
@pytest.mark.parametrize("is_file", [True, False])
def test_a_version_is_exempt__its_pages_are_without_all_others(refusal: str, is_file: bool) -> None:
    verdicts = REFUSALS[refusal]([Exemption(1, "looked at", "npm", "x", "2.0.0", covers_malware=True)]).of(
        "npm", "x"
    )
    assert verdicts.judges
    listed = [Dated(f"x-{each}", each, 1e9, is_file=is_file) for each in (*VERSIONS, "")]
    held = verdicts.held(*verdicts.judged(listed, Seen(1.0), {}, NOW))
    shown = [each.version for each in listed if held.of_file(each.version, each.name, "").allowed]
    assert shown == ["2.0.0"]


@each_refusal
def test_an_exemption_of_all_versions__is_as_exact_as_the_block_and_more_than_the_rest(refusal: str) -> None:
    policy = REFUSALS[refusal]([Exemption(1, "ours", "npm", "x", covers_malware=True)])
    for page in (True, False):
        if refusal == "by hand":
            with pytest.raises(Blocked):
                policy.check("npm", "x", page=page)
        else:
            policy.check("npm", "x", page=page)
