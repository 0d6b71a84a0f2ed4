"""Positions of keys and values in a TOML text, which `tomllib` does not report.

Walks a text that `tomllib` has accepted already (TOML 1.0.0), so it checks nothing and never fails on
what cannot be there.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_left

Path = tuple[str | int, ...]
"""Keys and array indexes from the top, such as ("pypi", "requirements", 0)."""

_BLANK = re.compile(r"[ \t\r\n]*(?:#[^\n]*(?:\n[ \t\r\n]*)?)*")
_SPACE = re.compile(r"[ \t]*")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_STRING = re.compile(r'"""(?:\\.|[^\\])*?"""(?!")|"(?:\\.|[^"\\])*"', re.DOTALL)
_LITERAL = re.compile(r"'''.*?'''(?!')|'[^']*'", re.DOTALL)
_SCALAR = re.compile(r"[^,\]}\n#]+")  # numbers, booleans, dates (which may hold a space)


def positions(text: str) -> dict[Path, tuple[int, int]]:
    """Line and column, from 1, of every key (of a table: of its header) and every array element."""
    walk = _Walk(text)
    walk.document()
    ends = [found.start() for found in re.finditer("\n", text)]  # counted once, not for each path
    places = {}
    for path, at in walk.found.items():
        line = bisect_left(ends, at)
        places[path] = (line + 1, at - (ends[line - 1] if line else -1))
    return places


def place_of(text: str, at: int) -> tuple[int, int]:
    """Line and column of one offset, from 1."""
    return text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)


class _Walk:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._arrays: dict[Path, int] = {}  # headers in double brackets: how many there were
        self.found: dict[Path, int] = {}

    def document(self) -> None:
        table: Path = ()
        self._skip(_BLANK)
        while self._at < len(self._text):
            if self._text[self._at] == "[":
                table = self._header()
            else:
                self._pair(table)
            self._skip(_BLANK)

    def _header(self) -> Path:
        start = self._at
        double = self._text.startswith("[[", start)
        self._at += 2 if double else 1
        *above, last = self._key(())
        self._at += 2 if double else 1
        path: Path = ()
        for part in above:
            path = (*path, part)
            if path in self._arrays:  # below the last element so far
                path = (*path, self._arrays[path])
        path = (*path, last)
        if double:
            self._arrays[path] = self._arrays.get(path, -1) + 1
            path = (*path, self._arrays[path])
        self.found.setdefault(path, start)
        return path

    def _pair(self, table: Path) -> None:
        start = self._at
        path = self._key(table)
        for length in range(len(table) + 1, len(path) + 1):
            self.found.setdefault(path[:length], start)
        self._at += 1  # "="
        self._skip(_SPACE)
        self._value(path)

    def _key(self, table: Path) -> Path:
        """A dotted key; ends before what follows it."""
        path = table
        while True:
            self._skip(_SPACE)
            start = self._at
            char = self._text[start]
            self._skip(_STRING if char == '"' else _LITERAL if char == "'" else _BARE)
            raw = self._text[start : self._at]
            path = (*path, tomllib.loads(f"key = {raw}")["key"] if char in "\"'" else raw)
            self._skip(_SPACE)
            if self._text[self._at] != ".":
                return path
            self._at += 1

    def _value(self, path: Path) -> None:
        char = self._text[self._at]
        if char == "[":
            self._array(path)
        elif char == "{":
            self._at += 1
            self._skip(_BLANK)
            while self._text[self._at] != "}":
                self._pair(path)
                self._separator()
            self._at += 1
        else:
            self._skip(_STRING if char == '"' else _LITERAL if char == "'" else _SCALAR)

    def _array(self, path: Path) -> None:
        self._at += 1
        self._skip(_BLANK)
        index = 0
        while self._text[self._at] != "]":
            self.found[(*path, index)] = self._at
            self._value((*path, index))
            self._separator()
            index += 1
        self._at += 1

    def _separator(self) -> None:
        self._skip(_BLANK)
        if self._text[self._at] == ",":
            self._at += 1
            self._skip(_BLANK)

    def _skip(self, pattern: re.Pattern[str]) -> None:
        found = pattern.match(self._text, self._at)
        if found is not None:
            self._at = found.end()
