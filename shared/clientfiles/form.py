"""The form of a text file: a byte order mark, and how its lines end. Edits know "\\n" alone;
all that an edit leaves as it was stays byte for byte.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from difflib import SequenceMatcher
from typing import Concatenate, ParamSpec

_P = ParamSpec("_P")

MARK = "\ufeff"
_LINE = re.compile(r"([^\r\n]*)(\r\n|\r|\n)|([^\r\n]+)")


def lines_of(text: str) -> list[str]:
    """The lines of a text whose lines end in "\\n" alone, which is what clients take for an end: not U+2028,
    nor what else `str.splitlines` ends one at."""
    lines = text.split("\n")
    return lines[:-1] if not lines[-1] else lines


def plain(text: str) -> str:
    """With "\\n" at every line's end."""
    return re.sub(r"\r\n?", "\n", text)


def in_form_of(old: str, new: str) -> str:
    """`new`, made of `plain(old)`, with old's own ends: of each line that stayed; others have the usual."""
    ends = [found[2] or "" for found in _LINE.finditer(old)]
    before, after = lines_of(plain(old)), lines_of(new)
    if not before or not after:
        return new
    usual = Counter(end for end in ends if end).most_common(1)
    end = usual[0][0] if usual else "\n"
    made = [end] * len(after)
    if len(set(ends)) > 1:
        matcher = SequenceMatcher(None, before, after, autojunk=False)
        for here, there, count in matcher.get_matching_blocks():
            made[there : there + count] = [each or end for each in ends[here : here + count]]
    if not ends[-1] and after[-1] == before[-1]:
        made[-1] = ""
    return "".join(line + each for line, each in zip(after, made, strict=True))


def past_mark(edit: Callable[Concatenate[str, _P], str]) -> Callable[Concatenate[str, _P], str]:
    """An edit of a format whose readers pass over a byte order mark: it stays, outside of the first line."""

    def edited(text: str, /, *arguments: _P.args, **named: _P.kwargs) -> str:
        mark = MARK if text.startswith(MARK) else ""
        return mark + edit(text.removeprefix(MARK), *arguments, **named)

    return edited
