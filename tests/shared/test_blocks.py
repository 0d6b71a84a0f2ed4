"""Blocks as values: what they hold for a project, and stamps that tell states apart."""

from __future__ import annotations

import pytest

from shared.blocks import NOTHING, Block, Blocks
from shared.errors import Blocked

WHOLE = Block(1, "stolen", "pypi", "evil")
VERSION = Block(2, "broken", "npm", "left-pad", "1.3.0")
DIGEST = Block(3, "malware", sha256="ab" * 32)


def test_nothing_blocked__no_stamp_and_no_refusal() -> None:
    blocks = Blocks()
    assert not blocks.any
    assert blocks.of("pypi", "evil") is NOTHING
    assert NOTHING.stamp == ""
    blocks.check("pypi", "evil", "1.0")
    blocks.check_digest("ab" * 32)


def test_check__blocked_name__refused_whatever_the_version() -> None:
    blocks = Blocks([WHOLE])
    for version in ("", "1.0"):
        with pytest.raises(Blocked, match="evil is blocked: stolen"):
            blocks.check("pypi", "evil", version)
    blocks.check("npm", "evil")
    blocks.check("pypi", "evil-not")


def test_check__blocked_version__refused_alone() -> None:
    blocks = Blocks([VERSION])
    with pytest.raises(Blocked, match=r"left-pad 1\.3\.0 is blocked: broken"):
        blocks.check("npm", "left-pad", "1.3.0")
    blocks.check("npm", "left-pad", "1.3.1")
    blocks.check("npm", "left-pad")


def test_check_digest__blocked_bytes__refused_under_every_name() -> None:
    with pytest.raises(Blocked, match="malware"):
        Blocks([DIGEST]).check_digest("ab" * 32)


def test_stamp__each_state__its_own_and_the_same_again() -> None:
    states = [[], [WHOLE], [VERSION], [DIGEST], [VERSION, DIGEST]]
    for protocol, project in (("pypi", "evil"), ("npm", "left-pad"), ("npm", "other")):
        stamps = [Blocks(state).of(protocol, project).stamp for state in states]
        assert stamps == [Blocks(list(reversed(state))).of(protocol, project).stamp for state in states]
    left_pad = [Blocks(state).of("npm", "left-pad").stamp for state in states]
    assert left_pad[0] == left_pad[1] == ""  # another project's block changes nothing
    assert len({left_pad[0], *left_pad[2:]}) == 4
    assert Blocks([DIGEST]).of("npm", "other").stamp  # bytes may be on any page
