"""Versions as Cargo reads and orders them: Semantic Versioning 2.0.0, numbers of 64 bits."""

from __future__ import annotations

import re
from functools import lru_cache

MAX_CHARACTERS = 256
MAX_NUMBER = 2**64 - 1

NUMBER = "(?:0|[1-9][0-9]{0,19})"
_IDENTIFIER = "(?:0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
PRERELEASE = rf"-({_IDENTIFIER}(?:\.{_IDENTIFIER})*)"
BUILD = r"\+([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)"
_VERSION = re.compile(rf"({NUMBER})\.({NUMBER})\.({NUMBER})(?:{PRERELEASE})?(?:{BUILD})?")

Release = tuple[int, int, int]
PreKey = tuple[tuple[int, int, str], ...]
AFTER_ALL_PRERELEASES: PreKey = ((2, 0, ""),)


class Version:
    """A version. `precedence` orders it as SemVer does; `key` also tells build metadata apart, by which
    Cargo orders what else is equal."""

    __slots__ = ("key", "precedence", "prerelease", "release", "text")

    def __init__(self, text: str, release: Release, prerelease: str, build: str) -> None:
        self.text = text
        self.release = release
        self.prerelease = prerelease
        self.precedence = (release, prerelease_key(prerelease))
        self.key = (release, self.precedence[1], _build_key(build))

    def __repr__(self) -> str:
        return f"Version({self.text!r})"

    @property
    def compatibility(self) -> tuple[int, ...]:
        """Up to the leftmost number that is not zero: a graph holds one version of each crate for each
        (The Cargo Book, "SemVer compatibility")."""
        major, minor, patch = self.release
        if major:
            return (major,)
        return (0, minor) if minor else (0, 0, patch)


def prerelease_key(prerelease: str) -> PreKey:
    """Numbers come before words, by value; a version without prerelease comes last (SemVer, clause 11)."""
    if not prerelease:
        return AFTER_ALL_PRERELEASES
    parts = prerelease.split(".")
    # Numbers have no leading zeros: the longer is the greater.
    return tuple((0, len(part), part) if part.isdigit() else (1, 0, part) for part in parts)


def _build_key(build: str) -> tuple[tuple[int, int, str, int], ...]:
    """SemVer gives build metadata no order; Cargo needs one, and here numbers may have leading zeros."""
    parts = build.split(".") if build else []
    bare = [part.lstrip("0") for part in parts]
    return tuple(
        (0, len(number), number, len(part)) if part.isdigit() else (1, 0, part, 0)
        for part, number in zip(parts, bare, strict=True)
    )


@lru_cache(maxsize=65_536)
def parse_version(text: str) -> Version | None:
    """The version that a text spells, or None."""
    found = _VERSION.fullmatch(text) if len(text) <= MAX_CHARACTERS else None
    if found is None:
        return None
    release = (int(found[1]), int(found[2]), int(found[3]))
    return None if max(release) > MAX_NUMBER else Version(text, release, found[4] or "", found[5] or "")
