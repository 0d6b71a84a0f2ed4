"""Versions as npm reads and orders them (Semantic Versioning 2.0.0, and node-semver's loose spelling).

Loose means what old packages wrote: `v1.2.3`, `=1.2.3`, leading zeros, a prerelease without its hyphen.
Build metadata is read and has no say in order (SemVer 2.0.0, clause 10).
"""

from __future__ import annotations

import re
from functools import lru_cache

MAX_CHARACTERS = 256
MAX_NUMBER = 2**53 - 1  # what a JavaScript number holds exactly; npm refuses more
# JavaScript's white space, which is not Python's.
SPACES = "\t\n\x0b\x0c\r \xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"
SPACE_CHARACTERS = "\t\n\x0b\x0c\r \xa0\u1680\u2028\u2029\u202f\u205f\u3000\ufeff" + "".join(
    map(chr, range(0x2000, 0x200B))
)

NUMBER = "(?:0|[1-9][0-9]{0,256})"
LOOSE_NUMBER = "[0-9]{1,256}"
_WORD = "[0-9]{0,256}[a-zA-Z-][a-zA-Z0-9-]{0,250}"
PRERELEASE = rf"-((?:{_WORD}|{NUMBER})(?:\.(?:{_WORD}|{NUMBER}))*)"
LOOSE_PRERELEASE = rf"-?((?:{_WORD}|{LOOSE_NUMBER})(?:\.(?:{_WORD}|{LOOSE_NUMBER}))*)"
BUILD = r"\+(?:[a-zA-Z0-9-]{1,250}(?:\.[a-zA-Z0-9-]{1,250})*)"
PLAIN = rf"v?({NUMBER})\.({NUMBER})\.({NUMBER})(?:{PRERELEASE})?(?:{BUILD})?"
LOOSE_PLAIN = (
    rf"[v={SPACES}]*({LOOSE_NUMBER})\.({LOOSE_NUMBER})\.({LOOSE_NUMBER})(?:{LOOSE_PRERELEASE})?(?:{BUILD})?"
)

_STRICT = re.compile(PLAIN)
_LOOSE = re.compile(LOOSE_PLAIN)
_DIGITS = re.compile("[0-9]+")

Identifier = tuple[int, int | float, str]


class Version:
    """A version. `key` orders it among others; equal keys are equal precedence."""

    __slots__ = ("key", "prerelease", "release", "text")

    def __init__(self, release: tuple[int, int, int], prerelease: str) -> None:
        self.release = release
        self.prerelease = tuple(_identifier(part) for part in prerelease.split(".")) if prerelease else ()
        spelled = ".".join(text if rank else str(number) for rank, number, text in self.prerelease)
        self.text = f"{release[0]}.{release[1]}.{release[2]}" + (f"-{spelled}" if spelled else "")
        self.key = (*release, not self.prerelease, self.prerelease)

    def __repr__(self) -> str:
        return f"Version({self.text!r})"


def _identifier(text: str) -> Identifier:
    """Numbers come before words, by value; words by their characters (SemVer 2.0.0, clause 11)."""
    if not _DIGITS.fullmatch(text):
        return 1, 0, text
    number = int(text)
    # From 2^53 - 1 on it keeps its spelling and compares as a double does.
    return (0, number, "") if number < MAX_NUMBER else (0, float(text), "")


@lru_cache(maxsize=65_536)
def parse_version(text: str, loose: bool = True) -> Version | None:
    """The version that a text spells, or None."""
    if len(text) > MAX_CHARACTERS:
        return None
    found = (_LOOSE if loose else _STRICT).fullmatch(text.strip(SPACE_CHARACTERS))
    if found is None:
        return None
    major, minor, patch = int(found[1]), int(found[2]), int(found[3])
    if max(major, minor, patch) > MAX_NUMBER:
        return None
    return Version((major, minor, patch), found[4] or "")


def clean_version(text: str) -> str:
    """A version without `v`, `=` and build metadata, "" if it is none."""
    found = parse_version(text.strip(SPACE_CHARACTERS).lstrip("=v"))
    return "" if found is None else found.text
