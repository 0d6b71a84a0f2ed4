"""Where words go: results to standard output, everything else to standard error."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

from services.cli.errors import CommandFailed
from shared.printable import printable as shown


class Output:
    """`as_json`: results as JSON, faults as one line of JSON, no progress unless on a terminal."""

    def __init__(self, *, as_json: bool = False, quiet: bool = False) -> None:
        self.as_json = as_json
        self.quiet = quiet

    def result(self, value: Any, text: str) -> None:
        """`value` as indented JSON or `text`, whichever was asked for, ended by a line break."""
        if self.as_json:
            import json

            text = json.dumps(value, indent=2, ensure_ascii=False)
        self.write((text.rstrip("\n") + "\n").encode(errors="backslashreplace") if text else b"")

    def write(self, data: bytes) -> None:
        """Bytes to standard output as they are. Raises `BrokenPipeError`; `CommandFailed` where it is closed,
        or full."""
        try:
            sys.stdout.flush()
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            raise
        except (AttributeError, ValueError):  # None, where it was closed before Python started
            raise CommandFailed("standard output is closed") from None
        except OSError as error:
            forget_output()
            raise CommandFailed(f"standard output cannot be written: {error.strerror}") from None

    def note(self, text: str) -> None:
        """A line for a person, on standard error."""
        if not self.quiet and not self.as_json:
            say(text)

    def failure(self, error: CommandFailed) -> None:
        """What went wrong and what to do."""
        if self.as_json:
            import json

            fields = {
                "message": error.message,
                "hint": error.hint,
                "code": error.code,
                "status": error.status,
                "exit_code": int(error.exit_code),
            }
            say(json.dumps({"error": {name: value for name, value in fields.items() if value}}))
            return
        say(f"orchard: {error.message}")
        if error.hint:
            say(f"  {error.hint}")


def forget_output() -> None:
    """Python writes what is left at exit: it must not fail once more."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def say(text: str) -> None:
    """A whole line on standard error; a closed one is no fault."""
    try:
        sys.stderr.write(printable(text) + "\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        return


def printable(text: str) -> str:
    """What a server or a registry says must not steer the terminal; it may have several lines."""
    return shown(text, "\n\t")


def table(rows: Sequence[Sequence[str]], heads: Sequence[str]) -> str:
    """Columns as wide as they need; nothing is cut off, so that lines can be searched and pasted."""
    lines = [heads, *rows]
    widths = [max(len(row[column]) for row in lines) for column in range(len(heads))]
    return "\n".join(
        "  ".join(printable(cell).ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in lines
    )


def counted(count: int, thing: str) -> str:
    """ "1 package", "2 packages"."""
    return f"{count} {thing}{'' if count == 1 else 's'}"


def size(count: float) -> str:
    """Bytes for people: 1.2 MB is 1.2 million bytes."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            return f"{count / scale:.1f} {unit}"
    return f"{count:.0f} B"


def moment(seconds: float | None) -> str:
    """A point in time in the zone of this machine; "-" for none."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds)) if seconds else "-"
