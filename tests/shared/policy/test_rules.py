"""Blocks as they are told to other Orchards."""

from __future__ import annotations

from shared.policy.rules import OF_UPSTREAM, Block, told


def test_told__of_the_protocol_and_bytes__ones_own_first() -> None:
    blocks = [
        Block(OF_UPSTREAM, "theirs", "pypi", "a"),
        Block(OF_UPSTREAM, "theirs", sha256="ab" * 32),
        Block(7, "ours", "npm", "b"),
        Block(8, "ours", "pypi", "c"),
    ]
    assert [each.name or each.sha256 for each in told(blocks, "pypi")] == ["c", "a", "ab" * 32]
