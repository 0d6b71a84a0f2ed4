"""Text of others on a terminal. The standard library alone: the command needs it too."""

from __future__ import annotations


def printable(text: str, keep: str = "") -> str:
    """With what a terminal would obey shown in place of obeyed: control characters, but those of `keep`, and
    marks of direction."""
    return "".join(
        each if each in keep or each.isprintable() else each.encode("unicode_escape").decode()
        for each in text
    )
