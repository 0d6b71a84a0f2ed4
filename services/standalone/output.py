"""The supervisor's output on the terminal: whole lines, unbuffered, also through a pipe."""

from __future__ import annotations

import sys


def say(text: str = "") -> None:
    """A line of progress, on standard output. A closed terminal must not end Orchard."""
    _write(sys.stdout, text)


def complain(text: str) -> None:
    """A line about a fault, on standard error."""
    _write(sys.stderr, text)


def _write(stream: object, text: str) -> None:
    if stream is None:  # it was closed before Python started
        return
    try:
        stream.write(text + "\n")  # type: ignore[attr-defined]
        stream.flush()  # type: ignore[attr-defined]
    except (OSError, ValueError):
        return
