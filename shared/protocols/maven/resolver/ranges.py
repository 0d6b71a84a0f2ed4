"""Version requirements: soft ones ("1.2"), and hard ones that are ranges ("[1,2)", "[1],[3,)").

Ranges are compared as Maven's resolver does (maven-resolver-util, GenericVersionScheme), which differs a
little from the order in which repositories sort (`versions.py`): "-", "." and "_" separate alike.
"""

from __future__ import annotations

import re
from functools import cmp_to_key, lru_cache

import msgspec

MAX_RANGES = 64

Item = tuple[int, int | str]  # kind and value

_MIN, _QUALIFIER, _STRING, _NUMBER, _MAX = 0, 2, 3, 4, 8
_QUALIFIERS = {
    "alpha": -5,
    "beta": -4,
    "milestone": -3,
    "rc": -2,
    "cr": -2,
    "snapshot": -1,
    "ga": 0,
    "final": 0,
    "release": 0,
    "": 0,
    "sp": 1,
}
_BEFORE_DIGIT = {"a": -5, "b": -4, "m": -3}
_TOKEN = re.compile(r"[0-9]+|[^0-9._-]+|[._-]")


class BadRange(Exception):
    """Not a version requirement; the message says why."""


class Interval(msgspec.Struct, frozen=True):
    """From `lower` to `upper`, "" being open ended."""

    lower: str
    lower_included: bool
    upper: str
    upper_included: bool

    def holds(self, version: str) -> bool:
        if self.lower:
            found = compare(self.lower, version)
            if found > 0 or (found == 0 and not self.lower_included):
                return False
        if self.upper:
            found = compare(version, self.upper)
            if found > 0 or (found == 0 and not self.upper_included):
                return False
        return True


def is_range(text: str) -> bool:
    """Whether a requirement is a hard one."""
    return text.startswith(("[", "("))


@lru_cache(maxsize=4096)
def parse_ranges(text: str) -> tuple[Interval, ...]:
    """The intervals of a hard requirement; a version fits if one holds it. Raises `BadRange`."""
    found: list[Interval] = []
    rest = text.strip()
    while rest.startswith(("[", "(")):
        ends = [at for at in (rest.find(")"), rest.find("]")) if at >= 0]
        if not ends or len(found) == MAX_RANGES:
            raise BadRange(f"{text[:80]}: a range has no end")
        end = min(ends)
        found.append(_interval(rest[: end + 1]))
        rest = rest[end + 1 :].strip().removeprefix(",").strip()
    if rest or not found:
        raise BadRange(f"{text[:80]}: no version range")
    return tuple(found)


def exact(text: str) -> str:
    """The one version that a hard requirement "[1.0]" names, else ""."""
    intervals = parse_ranges(text)
    first = intervals[0]
    return first.lower if len(intervals) == 1 and first.lower and first.lower == first.upper else ""


def fits(text: str, version: str) -> bool:
    """Whether a version satisfies a hard requirement. Raises `BadRange`."""
    return any(interval.holds(version) for interval in parse_ranges(text))


def compare(left: str, right: str) -> int:
    """Below 0, 0 or above 0, as `left` is older than, equal to or newer than `right`."""
    ours, theirs = _items(left), _items(right)
    number = True
    for at in range(max(len(ours), len(theirs))):
        if at >= len(ours):
            return -_padding(theirs, at, None)
        if at >= len(theirs):
            return _padding(ours, at, None)
        mine, other = ours[at], theirs[at]
        if _is_number(mine) != _is_number(other):
            return _padding(ours, at, number) if number == _is_number(mine) else -_padding(theirs, at, number)
        found = _compare(mine, other)
        if found:
            return found
        number = _is_number(mine)
    return 0


generic_key = cmp_to_key(compare)
"""For `sorted` and `max`: `key=generic_key`."""


def _interval(text: str) -> Interval:
    inner = text[1:-1]
    lower, comma, upper = inner.partition(",")
    lower, upper = lower.strip(), upper.strip()
    closed = text[0] == "[", text[-1] == "]"
    if not comma:
        if not (lower and all(closed)):
            raise BadRange(f"{text[:80]}: a single version stands in [ ]")
        if lower.endswith(".*"):
            return Interval(lower[:-1] + "min", True, lower[:-1] + "max", True)
        return Interval(lower, True, lower, True)
    if "," in upper:
        raise BadRange(f"{text[:80]}: a range has two ends")
    if lower and upper and compare(lower, upper) > 0:
        raise BadRange(f"{text[:80]}: its ends are in the wrong order")
    return Interval(lower, closed[0], upper, closed[1])


@lru_cache(maxsize=16384)
def _items(version: str) -> tuple[Item, ...]:
    tokens = _TOKEN.findall(version.lower())
    items: list[Item] = []
    expecting = True  # a separator with nothing before it stands for 0
    for at, word in enumerate(tokens):
        if word in "._-":
            if expecting:
                items.append((_NUMBER, 0))
            expecting = True
            continue
        expecting = False
        last = at == len(tokens) - 1
        if word[0].isdigit():
            items.append((_NUMBER, int(word[:200])))
        elif last and word in ("min", "max"):
            items.append((_MIN if word == "min" else _MAX, 0))
        elif not last and word in _BEFORE_DIGIT and tokens[at + 1][0].isdigit():
            items.append((_QUALIFIER, _BEFORE_DIGIT[word]))
        elif word in _QUALIFIERS:
            items.append((_QUALIFIER, _QUALIFIERS[word]))
        else:
            items.append((_STRING, word))
    _trim(items)
    return tuple(items)


def _trim(items: list[Item]) -> None:
    """Take padding off the end, and off the end of each run of numbers or words."""
    number: bool | None = None
    end = len(items) - 1
    for at in range(len(items) - 1, 0, -1):
        item = items[at]
        if _is_number(item) != number:
            end, number = at, _is_number(item)
        alike = at == len(items) - 1 or _is_number(items[at - 1]) == _is_number(item)
        if end == at and alike and _sign_of(item) == 0:
            del items[at]
            end -= 1


def _is_number(item: Item) -> bool:
    return not item[0] & _QUALIFIER


def _sign_of(item: Item) -> int:
    """Beside nothing at all, which counts as 0 and as a release."""
    kind, value = item
    if kind in (_MIN, _MAX):
        return -1 if kind == _MIN else 1
    return 1 if isinstance(value, str) else value


def _padding(items: tuple[Item, ...], start: int, number: bool | None) -> int:
    for item in items[start:]:
        if number is not None and number != _is_number(item):
            break
        found = _sign_of(item)
        if found:
            return found
    return 0


def _compare(left: Item, right: Item) -> int:
    if left[0] != right[0]:
        return left[0] - right[0]
    return (left[1] > right[1]) - (left[1] < right[1])  # type: ignore[operator]
