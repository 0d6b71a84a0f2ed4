"""Names that somebody may have mistyped: one edit away from a popular one (Damerau 1964: a character more,
less, another, or two swapped). Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache

_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789-_."
SHORTEST = 4  # characters: of shorter names nearly all are one edit from another
LONGEST = 64


@lru_cache(4096)
def mistyped(name: str, popular: frozenset[str]) -> str:
    """The popular name that `name` is one edit away from, or its capitals; "" for none, and for a popular
    name itself. Both in canonical spelling. Of an npm name the scope is part of the name; of a Maven one the
    group."""
    if not SHORTEST <= len(name) <= LONGEST or name in popular:
        return ""
    known = _lowered(popular)
    return next((known[each] for each in _edits(name.lower()) if each in known), "")


@lru_cache(64)
def _lowered(popular: frozenset[str]) -> Mapping[str, str]:
    return {each.lower(): each for each in popular if len(each) >= SHORTEST}


def _edits(name: str) -> Iterator[str]:
    for at in range(len(name) + 1):
        head, tail = name[:at], name[at:]
        if tail:
            yield head + tail[1:]
        if len(tail) > 1:
            yield head + tail[1] + tail[0] + tail[2:]
        for char in _ALPHABET:
            yield head + char + tail
            if tail:
                yield head + char + tail[1:]
