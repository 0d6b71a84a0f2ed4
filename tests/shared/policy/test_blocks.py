"""Policy as values: what they hold for a project, and stamps that tell states apart."""

from __future__ import annotations

import fnmatch
import re

import pytest

from shared.errors import Blocked
from shared.policy.policy import Policy
from shared.policy.project import NOTHING
from shared.policy.rules import Block
from shared.protocols import PROTOCOLS, named_alike
from shared.protocols.base import PackageProxyBase

WHOLE = Block(1, "stolen", "pypi", "evil")
VERSION = Block(2, "broken", "npm", "left-pad", "1.3.0")
DIGEST = Block(3, "malware", sha256="ab" * 32)


def test_nothing_blocked__no_stamp_and_no_refusal() -> None:
    blocks = Policy()
    assert not blocks.any
    assert blocks.of("pypi", "evil") is NOTHING
    assert NOTHING.stamp == ""
    blocks.check("pypi", "evil", "1.0")
    blocks.check_digest("ab" * 32)


def test_check__blocked_name__refused_whatever_the_version() -> None:
    blocks = Policy([WHOLE])
    for version in ("", "1.0"):
        with pytest.raises(Blocked, match="evil is blocked: stolen"):
            blocks.check("pypi", "evil", version)
    blocks.check("npm", "evil")
    blocks.check("pypi", "evil-not")


def test_check__blocked_version__refused_alone() -> None:
    blocks = Policy([VERSION])
    with pytest.raises(Blocked, match=r"left-pad 1\.3\.0 is blocked: broken"):
        blocks.check("npm", "left-pad", "1.3.0")
    blocks.check("npm", "left-pad", "1.3.1")
    blocks.check("npm", "left-pad")


def test_check_digest__blocked_bytes__refused_under_every_name() -> None:
    with pytest.raises(Blocked, match="malware"):
        Policy([DIGEST]).check_digest("ab" * 32)


def test_stamp__each_state__its_own_and_the_same_again() -> None:
    states = [[], [WHOLE], [VERSION], [DIGEST], [VERSION, DIGEST]]
    for protocol, project in (("pypi", "evil"), ("npm", "left-pad"), ("npm", "other")):
        stamps = [Policy(state).of(protocol, project).stamp for state in states]
        assert stamps == [Policy(list(reversed(state))).of(protocol, project).stamp for state in states]
    left_pad = [Policy(state).of("npm", "left-pad").stamp for state in states]
    assert left_pad[0] == left_pad[1] == ""  # another project's block changes nothing
    assert len({left_pad[0], *left_pad[2:]}) == 4
    assert Policy([DIGEST]).of("npm", "other").stamp  # bytes may be on any page


@pytest.mark.parametrize("blocked", ["my-crate_x", "my_crate-x", "my-crate-x"])
@pytest.mark.parametrize("asked", ["my_crate_x", "my-crate-x", "my-crate_x"])
@pytest.mark.parametrize("version", ["", "1.0"])
def test_names_that_clients_take_for_one__blocked_under_any__refused_under_all(
    blocked: str, asked: str, version: str
) -> None:
    blocks = Policy([Block(1, "it steals", "cargo", blocked, version)], named=named_alike)
    with pytest.raises(Blocked):
        blocks.check("cargo", asked, version)
    blocks.check("cargo", "my-crate", version)
    assert blocks.of("cargo", asked).stamp == blocks.of("cargo", blocked).stamp != ""


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.name)
def test_names_of_each_protocol__those_that_a_pin_takes_for_one_are_blocked_as_one(
    protocol: PackageProxyBase,
) -> None:
    names = [protocol.names.canonical_name(name) for name in ("my-crate", "my_crate", "my.crate")]
    for name in names:
        meant = re.compile("|".join(map(fnmatch.translate, protocol.names.meant_patterns(name))))
        alike = {protocol.names.named_alike(each) for each in names if meant.match(each)}
        assert len(alike) == 1, "a pin and a block mean the same names"
