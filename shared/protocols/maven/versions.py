"""The order of Maven versions, as Maven's own ComparableVersion has it (POM reference, "Version Order
Specification"; compared with Maven 3.8's class in the tests).

A version is a list of numbers, qualifiers and nested lists: "." separates items; "-", each change
between digits and letters, and a qualifier after "." open a nested list. Trailing nulls (0, "", "ga",
"final", "release") of each list do not count.
"""

from __future__ import annotations

from functools import cmp_to_key
from typing import TypeAlias

Item: TypeAlias = "int | str | list[Item]"

_QUALIFIERS = {"alpha": 0, "beta": 1, "milestone": 2, "rc": 3, "snapshot": 4, "": 5, "sp": 6}
_ALIASES = {"ga": "", "final": "", "release": "", "cr": "rc"}
_BEFORE_DIGIT = {"a": "alpha", "b": "beta", "m": "milestone"}
_RELEASE = "5"


def compare(left: str, right: str) -> int:
    """Below 0, 0 or above 0, as `left` is older than, equal to or newer than `right`."""
    return _compare(_parse(left), _parse(right))


version_key = cmp_to_key(compare)
"""For `sorted` and `max`: `key=version_key`."""


def _parse(version: str) -> list[Item]:
    version = version.lower()
    items: list[Item] = []
    stack = [items]
    current = items
    start, in_digits = 0, False

    def nest() -> list[Item]:
        inner: list[Item] = []
        current.append(inner)
        stack.append(inner)
        return inner

    for at, char in enumerate(version):
        if char in ".-":
            current.append(0 if at == start else _item(version[start:at], in_digits))
            start = at + 1
            if char == "-":
                current = nest()
        elif char in "0123456789":
            if not in_digits and at > start:
                if current:  # ".x1" counts as "-x1"
                    current = nest()
                current.append(_qualifier(version[start:at], before_digit=True))
                start = at
                current = nest()
            in_digits = True
        else:
            if in_digits and at > start:
                current.append(_item(version[start:at], True))
                start = at
                current = nest()
            in_digits = False
    if len(version) > start:
        if not in_digits and current:
            current = nest()
        current.append(_item(version[start:], in_digits))
    for each in reversed(stack):
        _normalise(each)
    return items


def _item(text: str, is_number: bool) -> Item:
    return int(text) if is_number else _qualifier(text, before_digit=False)


def _qualifier(text: str, *, before_digit: bool) -> str:
    if before_digit:
        text = _BEFORE_DIGIT.get(text, text)
    return _ALIASES.get(text, text)


def _normalise(items: list[Item]) -> None:
    """Take nulls off the end, also from before nested lists."""
    for at in range(len(items) - 1, -1, -1):
        if items[at] in (0, "", []):
            del items[at]
        elif not isinstance(items[at], list):
            break


def _rank(qualifier: str) -> str:
    known = _QUALIFIERS.get(qualifier)
    return f"{len(_QUALIFIERS)}-{qualifier}" if known is None else str(known)


def _compare(left: Item | None, right: Item | None) -> int:
    if left is None:
        return 0 if right is None else -_compare(right, None)
    if isinstance(left, int):
        if right is None:
            return 1 if left else 0
        return _sign(left, right) if isinstance(right, int) else 1
    if isinstance(left, str):
        if right is None:
            return _sign(_rank(left), _RELEASE)
        return _sign(_rank(left), _rank(right)) if isinstance(right, str) else -1
    if right is None:
        return next((found for item in left if (found := _compare(item, None))), 0)
    if isinstance(right, int):
        return -1
    if isinstance(right, str):
        return 1
    for at in range(max(len(left), len(right))):
        found = _compare(_at(left, at), _at(right, at))
        if found:
            return found
    return 0


def _at(items: list[Item], at: int) -> Item | None:
    return items[at] if at < len(items) else None


def _sign(left: int | str, right: int | str) -> int:
    return (left > right) - (left < right)  # type: ignore[operator]
