"""Version requirements as Cargo reads them: caret by default, `~`, `=`, `*`, comparisons, commas.

The Cargo Book, "Specifying Dependencies"; what the book leaves open is the `semver` crate's behaviour, and
tests hold this to answers recorded from it. npm's ranges look alike and differ: there blanks join
comparators, `||` exists, `=1.2` takes every patch and a bare version means itself alone.
"""

from __future__ import annotations

import re
from functools import lru_cache

from shared.protocols.cargo.semver import (
    BUILD,
    MAX_NUMBER,
    NUMBER,
    PRERELEASE,
    PreKey,
    Version,
    prerelease_key,
)

MAX_CHARACTERS = 2000
MAX_COMPARATORS = 32

_WILD = "[*xX]"
_COMPARATOR = re.compile(
    rf" *(=|>=|>|<=|<|~|\^)? *({NUMBER})"
    rf"(?:\.(?:({_WILD})|({NUMBER}))(?:\.(?:({_WILD})|({NUMBER})(?:{PRERELEASE})?(?:{BUILD})?))?)? *"
)
_ANY = re.compile(rf" *{_WILD} *")


class Comparator:
    """One operator and a version of one to three numbers."""

    __slots__ = ("fixed", "numbers", "operator", "pre", "prerelease", "text")

    def __init__(self, operator: str, numbers: tuple[int, ...], prerelease: str) -> None:
        self.operator = operator
        self.numbers = numbers
        self.prerelease = prerelease
        self.pre: PreKey = prerelease_key(prerelease)
        leading = next((at for at, number in enumerate(numbers) if number), len(numbers) - 1)
        self.fixed = leading + 1  # numbers that a caret holds
        spelled = ".".join(map(str, numbers)) + (f"-{prerelease}" if prerelease else "")
        self.text = f"{spelled}.*" if operator == "*" else f"{operator}{spelled}"

    def allows(self, version: Version) -> bool:
        """Whether the operator holds; a prerelease needs `names_prerelease_of` some comparator as well."""
        numbers, operator = self.numbers, self.operator
        full = len(numbers) == 3
        head = version.release[: len(numbers)]
        pre = version.precedence[1]
        same = head == numbers
        if operator == "^":
            if head[: self.fixed] != numbers[: self.fixed]:
                return False
            return (head, pre) >= (numbers, self.pre) if full else head >= numbers
        if operator == "~":
            return head[:2] == numbers[:2] and (head, pre) >= (numbers, self.pre)
        if operator in ("=", "*"):
            return same and pre == self.pre
        equal = same and pre == self.pre
        if operator.startswith(">"):
            return head > numbers or (full and same and pre > self.pre) or (operator == ">=" and equal)
        return head < numbers or (full and same and pre < self.pre) or (operator == "<=" and equal)

    def names_prerelease_of(self, version: Version) -> bool:
        """Whether it spells a prerelease of exactly this release."""
        return bool(self.prerelease) and version.release == self.numbers


class Requirement:
    """A version requirement. `text` is its one spelling."""

    __slots__ = ("comparators", "text")

    def __init__(self, comparators: tuple[Comparator, ...]) -> None:
        self.comparators = comparators
        self.text = ", ".join(each.text for each in comparators) or "*"

    def __repr__(self) -> str:
        return f"Requirement({self.text!r})"

    def matches(self, version: Version) -> bool:
        """Whether a version satisfies every comparator, and as a prerelease is named by one."""
        if not all(each.allows(version) for each in self.comparators):
            return False
        return not version.prerelease or any(each.names_prerelease_of(version) for each in self.comparators)


@lru_cache(maxsize=65_536)
def parse_requirement(text: str) -> Requirement | None:
    """The requirement that a text spells, or None."""
    if len(text) > MAX_CHARACTERS:
        return None
    if _ANY.fullmatch(text):
        return Requirement(())
    parts = text.split(",")
    if len(parts) > MAX_COMPARATORS:
        return None
    comparators = [_comparator(part) for part in parts]
    read = tuple(each for each in comparators if each is not None)
    return Requirement(read) if len(read) == len(parts) else None


def _comparator(text: str) -> Comparator | None:
    found = _COMPARATOR.fullmatch(text)
    if found is None:
        return None
    operator, major, wild, minor, last_wild, patch, prerelease, _ = found.groups()
    if wild and patch:
        return None
    numbers = tuple(int(number) for number in (major, minor, patch) if number is not None)
    if max(numbers) > MAX_NUMBER:
        return None
    operator = operator or ("*" if wild or last_wild else "^")
    return Comparator(operator, numbers, prerelease or "")
