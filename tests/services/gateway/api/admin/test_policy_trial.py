"""What rules come to for a package whose list nobody has asked for."""

from __future__ import annotations

import pytest

from services.gateway.api.admin.policy_reading import read
from services.gateway.api.admin.policy_trial import Outcome, outcomes
from services.gateway.api.admin.popular import popular_names
from shared.errors import PackageNotFound
from shared.judging.listings import Listing
from shared.policy.age import Seen
from shared.protocols import PROTOCOLS
from shared.protocols.base import PackageProxyBase

SOURCES = {each.name: frozenset({"central"}) for each in PROTOCOLS}
every = pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda each: each.name)

REFUSE = "[[rule]]\nname = 'out'\nnames = ['demo*']\nrefuse = true\nreason = 'see the wiki'\n"
OTHERS = "[[rule]]\nname = 'out'\nnames = ['others*']\nrefuse = true\n"
ONLY = "[[rule]]\nname = 'list'\nnames = ['other']\nonly = true\n"
AGE = "[[rule]]\nname = 'a week'\nminimum_age = '7d'\n"
TYPOS = "[[rule]]\nname = 'typos'\ntypo_of = ['*']\n"


def tried(protocol: PackageProxyBase, text: str, version: str = "", name: str = "") -> Outcome:
    name = name or ("demo:one" if protocol.names.example else "demo-one")
    rules = read(text, popular_names(""), SOURCES)
    (found,) = outcomes(protocol, Listing(name, b"", Seen(0.0), []), version, rules)
    return found


@every
@pytest.mark.parametrize(
    ("text", "allowed", "why"),
    [
        ("", True, ""),
        (REFUSE, False, "out: see the wiki"),
        (ONLY, False, "list: on no list of what is allowed"),
        (OTHERS, True, ""),
        (f"{AGE}names = ['others*']\n", True, ""),
        (AGE + REFUSE, False, "out: see the wiki"),
    ],
)
@pytest.mark.parametrize("version", ["", "1.0"])
def test_rules_that_need_no_list__answer_by_the_name(
    protocol: PackageProxyBase, text: str, allowed: bool, why: str, version: str
) -> None:
    found = tried(protocol, text, version)
    assert (found.allowed, found.why, found.warnings) == (allowed, why, [])
    assert found.purl.endswith("@1.0") == bool(version)


@every
def test_typo__of_what_nobody_has_asked_for(protocol: PackageProxyBase) -> None:
    name = max(protocol.names.popular, key=len)
    assert tried(protocol, TYPOS, name=name).allowed
    assert not tried(protocol, TYPOS, name=f"{name}x").allowed


@every
def test_rule_that_warns__is_told(protocol: PackageProxyBase) -> None:
    found = tried(protocol, f"{REFUSE}action = 'warn'\n")
    assert (found.allowed, found.warnings) == (True, ["out: see the wiki"])


@every
@pytest.mark.parametrize("text", [AGE, f"{REFUSE}sources = ['central']\n"], ids=["an age", "a source"])
def test_rule_that_needs_the_list__says_so(protocol: PackageProxyBase, text: str) -> None:
    with pytest.raises(
        PackageNotFound, match=r"no list of the versions of .* is stored here, and the rule '"
    ):
        tried(protocol, text)
