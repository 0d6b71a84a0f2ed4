"""Whether two ranges have a version in common, as node-semver judges it (its `intersects`).

It compares comparators in pairs, and asks no more: some ranges that it takes for overlapping are not.
"""

from __future__ import annotations

from functools import lru_cache

from shared.protocols.npm.semver import Version
from shared.protocols.npm.semver_ranges import Range, parse_range

Bound = tuple[str, Version | None]
"""An operator and a version; None admits any."""

_ANY: tuple[Bound, ...] = (("", None),)


@lru_cache(maxsize=65_536)
def intersects(one: str, other: str) -> bool:
    """False too where either cannot be read."""
    ours, theirs = parse_range(one), parse_range(other)
    if ours is None or theirs is None:
        return False
    left = [each or _ANY for each in ours.sets if _satisfiable(each or _ANY)]
    right = [each or _ANY for each in theirs.sets if _satisfiable(each or _ANY)]
    return any(all(_meet(a, b) for a in ones for b in others) for ones in left for others in right)


def _satisfiable(bounds: tuple[Bound, ...]) -> bool:
    return all(_meet(last, each) for at, last in enumerate(bounds) for each in bounds[:at])


def _meet(one: Bound, other: Bound) -> bool:
    op, version = one
    op2, version2 = other
    if op == "":
        return version is None or _range(other).admits(version)
    if op2 == "":
        return version2 is None or _range(one).admits(version2)
    assert version is not None and version2 is not None
    if (op + version.text).startswith("<0.0.0") or (op2 + version2.text).startswith("<0.0.0"):
        return False
    if op[0] == op2[0]:
        return True
    if version.key == version2.key:
        return "=" in op and "=" in op2
    return version.key < version2.key if op[0] == ">" else version.key > version2.key


def _range(bound: Bound) -> Range:
    op, version = bound
    return Range(((),) if version is None else (((op, version),),), prereleases=False)
