"""Ranges as npm reads them: `^1.2`, `~1.2.3`, `1.x`, `1.2 - 2`, `>=1 <2 || 3` (node-semver's grammar).

A range becomes alternatives of comparators, each an operator with a version. A prerelease only fits a
comparator set that names a prerelease of the same release, unless prereleases are asked for.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from shared.protocols.npm.semver import (
    BUILD,
    LOOSE_NUMBER,
    LOOSE_PLAIN,
    LOOSE_PRERELEASE,
    NUMBER,
    PLAIN,
    PRERELEASE,
    SPACE_CHARACTERS,
    SPACES,
    Version,
    parse_version,
)

MAX_CHARACTERS = 4096  # of a range: longer ones fit nothing here
MAX_COMPARATORS = 1000

_S = f"[{SPACES}]"
_NONE = "<0.0.0-0"  # what nothing satisfies


def _partial(number: str, prerelease: str) -> str:
    part = rf"({number}|x|X|\*)"
    return rf"[v={SPACES}]*{part}(?:\.{part}(?:\.{part}(?:{prerelease})?(?:{BUILD})?)?)?"


class _Grammar:
    """The patterns of one spelling, strict or loose."""

    def __init__(self, plain: str, partial: str) -> None:
        self.tilde = re.compile(rf"~>?{partial}")
        self.caret = re.compile(rf"\^{partial}")
        self.partial = re.compile(rf"((?:<|>)?=?){_S}*{partial}")
        self.hyphen = re.compile(rf"{_S}*({partial}){_S}+-{_S}+({partial}){_S}*")
        self.comparator = re.compile(rf"((?:<|>)?=?){_S}*({plain})|")


_STRICT_PARTIAL = _partial(NUMBER, PRERELEASE)
_STRICT = _Grammar(PLAIN, _STRICT_PARTIAL)
_LOOSE = _Grammar(LOOSE_PLAIN, _partial(LOOSE_NUMBER, LOOSE_PRERELEASE))
_BUILD = re.compile(BUILD)
_SPACE_RUN = re.compile(f"{_S}+")
_AFTER_OPERATOR = re.compile(rf"({_S}*)((?:<|>)?=?){_S}*({LOOSE_PLAIN}|{_STRICT_PARTIAL})")
_AFTER_TILDE = re.compile(rf"({_S}*)~>?{_S}+")
_AFTER_CARET = re.compile(rf"({_S}*)\^{_S}+")
_STAR = re.compile(rf"(?:<|>)?=?{_S}*\*")
_FROM_ZERO = re.compile(rf"{_S}*>={_S}*0\.0\.0{_S}*")
_FROM_ZERO_PRERELEASE = re.compile(rf"{_S}*>={_S}*0\.0\.0-0{_S}*")

_HOLDS: dict[str, Callable[[Version, Version], bool]] = {
    "": lambda a, b: a.key == b.key,
    ">": lambda a, b: a.key > b.key,
    ">=": lambda a, b: a.key >= b.key,
    "<": lambda a, b: a.key < b.key,
    "<=": lambda a, b: a.key <= b.key,
}

Comparator = tuple[str, Version]


class Range:
    """Alternatives of comparators; an empty alternative admits every version."""

    __slots__ = ("prereleases", "sets", "text")

    def __init__(self, sets: tuple[tuple[Comparator, ...], ...], prereleases: bool) -> None:
        self.sets = sets
        self.prereleases = prereleases
        self.text = "||".join(" ".join(op + version.text for op, version in each) for each in sets)

    def admits(self, version: Version) -> bool:
        """Whether a version satisfies this range."""
        return any(self._set_admits(each, version) for each in self.sets)

    def _set_admits(self, comparators: tuple[Comparator, ...], version: Version) -> bool:
        if not all(_HOLDS[op](version, bound) for op, bound in comparators):
            return False
        if not version.prerelease or self.prereleases:
            return True
        return any(bound.prerelease and bound.release == version.release for _, bound in comparators)


@lru_cache(maxsize=16_384)
def parse_range(text: str, loose: bool = True, prereleases: bool = False) -> Range | None:
    """The range that a text spells, or None."""
    if len(text) > MAX_CHARACTERS:
        return None
    reader = _Reader(_LOOSE if loose else _STRICT, loose, prereleases)
    sets = []
    for part in _SPACE_RUN.sub(" ", text.strip(SPACE_CHARACTERS)).split("||"):
        comparators = reader.read(part.strip(SPACE_CHARACTERS))
        if comparators is None:
            return None
        if comparators:
            sets.append(comparators)
    if not sets:
        return None
    if len(sets) > 1:
        sets = [each for each in sets if each[0][0] + each[0][1] != _NONE] or sets[:1]
        every = next((each for each in sets if each == [("", "")]), None)
        if len(sets) > 1 and every is not None:
            sets = [every]
    found = []
    for each in sets:
        made = []
        for op, bound in each:
            version = parse_version(bound, loose) if bound else None
            if version is not None:
                made.append((op, version))
        found.append(tuple(made))
    return Range(tuple(found), prereleases)


@lru_cache(maxsize=262_144)
def satisfies(version: str, wanted: str, loose: bool = True, prereleases: bool = False) -> bool:
    """Whether a version is in a range; False where either cannot be read."""
    found = parse_range(wanted, loose, prereleases)
    if found is None or not version:
        return False
    parsed = parse_version(version, loose)
    return parsed is not None and found.admits(parsed)


class _Reader:
    """Rewrites one alternative into plain comparators, in node-semver's order of steps."""

    def __init__(self, grammar: _Grammar, loose: bool, prereleases: bool) -> None:
        self._grammar = grammar
        self._loose = loose
        self._zero = "-0" if prereleases else ""
        self._from_zero = _FROM_ZERO_PRERELEASE if prereleases else _FROM_ZERO

    def read(self, text: str) -> list[tuple[str, str]] | None:
        """Operators and versions, ("", "") for any; None for an invalid one, [] for none at all."""
        text = _BUILD.sub("", text)
        hyphen = self._grammar.hyphen.fullmatch(text)
        if hyphen is not None:
            text = self._hyphen(hyphen)
        text = _AFTER_OPERATOR.sub(lambda m: m[1] + m[2] + m[3], text)
        text = _AFTER_TILDE.sub(r"\1~", text)
        text = _AFTER_CARET.sub(r"\1^", text)
        rewritten = " ".join(self._comparator(each) for each in text.split(" "))
        found: dict[str, tuple[str, str]] = {}
        for each in _SPACE_RUN.split(rewritten):
            each = "" if self._from_zero.fullmatch(each) else each.strip(SPACE_CHARACTERS)
            matched = self._grammar.comparator.fullmatch(each)
            if matched is None:
                if self._loose:
                    continue
                return None
            operator = "" if matched[1] in (None, "=") else matched[1]
            version = parse_version(matched[2], self._loose) if matched[2] else None
            if matched[2] and version is None:
                return None
            entry = (operator, version.text) if version is not None else ("", "")
            found[entry[0] + entry[1]] = entry
            if len(found) > MAX_COMPARATORS:
                return None
        if _NONE in found:
            return [found[_NONE]]
        if len(found) > 1:
            found.pop("", None)
        return list(found.values())

    def _comparator(self, text: str) -> str:
        text = _BUILD.sub("", text, count=1)
        text = " ".join(self._caret(each) for each in _SPACE_RUN.split(text.strip(SPACE_CHARACTERS)))
        text = " ".join(self._tilde(each) for each in _SPACE_RUN.split(text.strip(SPACE_CHARACTERS)))
        text = " ".join(self._x_range(each) for each in _SPACE_RUN.split(text))
        return _STAR.sub("", text.strip(SPACE_CHARACTERS), count=1)

    def _hyphen(self, found: re.Match[str]) -> str:
        low, lowest = found[1], found.group(2, 3, 4, 5)
        high, highest = found[6], found.group(7, 8, 9, 10)
        if _any(lowest[0]):
            first = ""
        elif _any(lowest[1]):
            first = f">={lowest[0]}.0.0{self._zero}"
        elif _any(lowest[2]):
            first = f">={lowest[0]}.{lowest[1]}.0{self._zero}"
        else:
            first = f">={low}" if lowest[3] else f">={low}{self._zero}"
        if _any(highest[0]):
            last = ""
        elif _any(highest[1]):
            last = f"<{int(highest[0]) + 1}.0.0-0"
        elif _any(highest[2]):
            last = f"<{highest[0]}.{int(highest[1]) + 1}.0-0"
        elif highest[3]:
            last = "<={}.{}.{}-{}".format(*highest)
        elif self._zero:
            last = f"<{highest[0]}.{highest[1]}.{int(highest[2]) + 1}-0"
        else:
            last = f"<={high}"
        return f"{first} {last}".strip(SPACE_CHARACTERS)

    def _tilde(self, text: str) -> str:
        found = self._grammar.tilde.fullmatch(text)
        if found is None:
            return text
        major, minor, patch, prerelease = found.groups()
        if _any(major):
            return ""
        if _any(minor):
            return f">={major}.0.0{self._zero} <{int(major) + 1}.0.0-0"
        next_minor = f"<{major}.{int(minor) + 1}.0-0"
        if _any(patch):
            return f">={major}.{minor}.0{self._zero} {next_minor}"
        return f">={major}.{minor}.{patch}{'-' + prerelease if prerelease else ''} {next_minor}"

    def _caret(self, text: str) -> str:
        found = self._grammar.caret.fullmatch(text)
        if found is None:
            return text
        major, minor, patch, prerelease = found.groups()
        if _any(major):
            return ""
        next_major = f"<{int(major) + 1}.0.0-0"
        if _any(minor):
            return f">={major}.0.0{self._zero} {next_major}"
        next_minor = f"<{major}.{int(minor) + 1}.0-0"
        if _any(patch):
            return f">={major}.{minor}.0{self._zero} {next_minor if major == '0' else next_major}"
        low = f">={major}.{minor}.{patch}{'-' + prerelease if prerelease else ''}"
        if major != "0":
            return f"{low} {next_major}"
        if minor != "0":
            return f"{low} {next_minor}"
        return f"{low} <{major}.{minor}.{int(patch) + 1}-0"

    def _x_range(self, text: str) -> str:
        text = text.strip(SPACE_CHARACTERS)
        found = self._grammar.partial.fullmatch(text)
        if found is None:
            return text
        operator, major, minor, patch, _ = found.groups()
        if (_any(major) and not _any(minor)) or (_any(minor) and patch and not _any(patch)):
            return text
        any_major = _any(major)
        any_minor = any_major or _any(minor)
        any_patch = any_minor or _any(patch)
        if operator == "=" and any_patch:
            operator = ""
        zero = self._zero
        if any_major:
            return _NONE if operator in ("<", ">") else "*"
        if operator and any_patch:
            first, second = int(major), 0 if any_minor else int(minor)
            if operator in (">", "<="):
                first, second = (first + 1, second) if any_minor else (first, second + 1)
                operator = ">=" if operator == ">" else "<"
                if any_minor and operator == ">=":
                    second = 0
            if operator == "<":
                zero = "-0"
            return f"{operator}{first}.{second}.0{zero}"
        if any_minor:
            return f">={major}.0.0{zero} <{int(major) + 1}.0.0-0"
        if any_patch:
            return f">={major}.{minor}.0{zero} <{major}.{int(minor) + 1}.0-0"
        return text


def _any(part: str | None) -> bool:
    return not part or part in ("x", "X", "*")
