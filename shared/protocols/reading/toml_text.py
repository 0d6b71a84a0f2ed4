"""TOML from strangers: what `tomllib` would need a square of time for is found before it is read."""

from __future__ import annotations

import re

MAX_KEY_PARTS = 32
# `tomllib` keeps every beginning of a dotted key, so that time and memory grow with the square of its parts.
# Texts in quotes are looked at, too: nothing that is read here has so many dots. A quote behind a backslash
# begins nothing: looked at from each of them, a text of nothing else would take the square of its length.
_PART = r"""(?:[A-Za-z0-9_-]++|"(?:\\.|[^"\\\n])*+"|'[^'\n]*+')"""
_LONG_KEY = re.compile(rf"(?<![A-Za-z0-9_\\-]){_PART}(?:[ \t]*+\.[ \t]*+{_PART}){{{MAX_KEY_PARTS}}}")


def long_key_at(text: str) -> int:
    """Where a key with more than `MAX_KEY_PARTS` parts begins; -1 for nowhere."""
    found = _LONG_KEY.search(text)
    return -1 if found is None else found.start()
