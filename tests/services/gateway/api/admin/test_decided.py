"""What is true once something is let in: as the policy has it, told in words."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from services.gateway.api.admin.access_types import NewBlock
from services.gateway.api.admin.decided import check_malware, in_words, malware_of, still_blocked
from shared.errors import Conflict
from shared.policy.advisories import About, Advisories, Advisory, Snapshot, Span, make_snapshot
from shared.policy.policy import Policy
from shared.policy.rules import OF_UPSTREAM, Block, Exemption, Rules
from shared.protocols import PROTOCOLS, named_alike, version_key

SHA = "ab" * 32
WHOLE, VERSION, BYTES = "whole", "version", "bytes"
PAIRS = [  # blocked bytes are one file of many: the exemption of a name is not told of them
    (blocked, exempt)
    for blocked, exempt in itertools.product((WHOLE, VERSION, BYTES), repeat=2)
    if blocked != BYTES or exempt == BYTES
]
NAMES = {"pypi": "demo", "npm": "demo", "cargo": "demo", "maven": "org.example:demo"}


def what(kind: str, protocol: str) -> dict[str, Any]:
    if kind == BYTES:
        return {"sha256": SHA}
    return {"protocol": protocol, "name": NAMES[protocol], "version": "2" if kind == VERSION else ""}


def test_names__are_of_every_protocol() -> None:
    assert set(NAMES) == {each.name for each in PROTOCOLS}


@pytest.mark.parametrize("protocol", NAMES)
@pytest.mark.parametrize(("blocked", "exempt"), PAIRS)
def test_block_and_exemption__the_one_that_wins_is_the_one_that_is_told(
    protocol: str, blocked: str, exempt: str
) -> None:
    """Of all that is exempt: a file of version 2 with these bytes."""
    block = Block(7, "no", **what(blocked, protocol))
    policy = Policy([block], exemptions=[Exemption(1, "ours", **what(exempt, protocol))], named=named_alike)
    verdict = policy.of(protocol, NAMES[protocol]).by_hand("2", SHA)
    assert verdict is not None
    found = still_blocked([block], NewBlock("ours", **what(exempt, protocol)))
    assert bool(found) is not verdict.allowed
    others = [Block(8, "no", protocol, "another"), Block(9, "no", sha256="cd" * 32)]
    assert not still_blocked(others, NewBlock("ours", **what(exempt, protocol)))


def test_block__is_told_with_what_takes_it_away() -> None:
    told = in_words(Block(7, "it steals", "npm", "demo", "2.0.0"))
    assert told == "npm demo 2.0.0 is blocked by hand (it steals): `orchard blocks remove 7` takes that away"
    assert "lifted there" in in_words(Block(OF_UPSTREAM, "no", "npm", "demo"))


@pytest.mark.parametrize(("version", "known"), [("", True), ("2.0.0", True), ("3.0.0", False)])
def test_malware__is_let_in_with_a_yes_alone(version: str, known: bool) -> None:
    spans = (Span("2.0.0", fixed="2.1.0"),)
    about = About("npm", "demo", (Advisory("MAL-1", True, spans=spans, summary="it steals"),))
    advisories = Advisories([Snapshot(make_snapshot([about]))], "x")
    policy = Policy((), Rules(feeds=True), named=named_alike, order=version_key, advisories=advisories)
    advisory = malware_of(policy, [NewBlock("ours", "npm", "demo", version)])
    assert bool(advisory) is known
    check_malware(advisory, yes=True)
    if not known:
        check_malware(advisory, yes=False)
        return
    with pytest.raises(Conflict, match="this is malware: MAL-1: it steals") as refused:
        check_malware(advisory, yes=False)
    assert "--yes" in refused.value.hint
