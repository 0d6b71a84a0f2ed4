"""How far work is: a bar on a terminal, a line now and then elsewhere, both on standard error."""

from __future__ import annotations

import shutil
import sys
import time
from typing import Any, TextIO

from services.cli.output import printable, size

LINE_EVERY_SECONDS = 5.0
_BAR_CELLS = 24


class Progress:
    """Shows reports of the API; use as a context manager, which leaves the terminal clean."""

    def __init__(self, *, quiet: bool = False, lines: bool = True, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty()
        self._shown = not quiet and (self._terminal or lines)
        self._last_line = ""
        self._last_at = 0.0

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown and self._terminal and self._last_line:
            self._write("\r\x1b[K")

    def show(self, report: dict[str, Any]) -> None:
        """One report: `phase` and counts, as a 202 brings them; {} before there is any."""
        if not self._shown or not (report or self._terminal):
            return
        words = describe(report)
        if self._terminal:
            columns = shutil.get_terminal_size((80, 24)).columns
            line = f"{_bar(report)} {words}"[: columns - 1]
            self._write(f"\r{line}\x1b[K")
            self._last_line = line
        elif words != self._last_line and time.monotonic() - self._last_at >= LINE_EVERY_SECONDS:
            self._write(words + "\n")
            self._last_line, self._last_at = words, time.monotonic()

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):
            self._shown = False  # nobody reads it: no reason to stop the work


def describe(report: dict[str, Any]) -> str:
    """A report in words."""
    files, ready = _count(report, "files_known"), _count(report, "files_ready")
    if report.get("phase") == "fetching" or files:
        known, done = _count(report, "bytes_known"), _count(report, "bytes_ready")
        of = f", {size(done)} of {size(known)}" if known else ""
        return f"fetching: {ready} of {files} files{of}"
    documents, wanted = _count(report, "documents_known"), _count(report, "documents_wanted")
    phase = printable(str(report.get("phase") or "resolving"))[:40]
    return f"{phase}: {documents} documents read, {wanted} on the way" if documents or wanted else phase


def _bar(report: dict[str, Any]) -> str:
    whole = _count(report, "bytes_known") or _count(report, "files_known")
    done = _count(report, "bytes_ready" if _count(report, "bytes_known") else "files_ready")
    if not whole:
        return "[" + "." * _BAR_CELLS + "]"
    cells = min(_BAR_CELLS * done // whole, _BAR_CELLS)
    return "[" + "#" * cells + "." * (_BAR_CELLS - cells) + f"] {min(100 * done // whole, 100):3d} %"


def _count(report: dict[str, Any], name: str) -> int:
    value = report.get(name, 0)
    return value if isinstance(value, int) and value > 0 else 0
