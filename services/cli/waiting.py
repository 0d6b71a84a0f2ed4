"""Waiting for long work of the server: it answers 202 with how far it is, and is asked again.

How far it is shows as a bar on a terminal, a line now and then elsewhere, both on standard error.
"""

from __future__ import annotations

import math
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, TextIO

from services.cli.errors import CommandFailed, Interrupted, ServerUnreachable, Unfinished
from services.cli.output import printable, size
from services.cli.server import TIMEOUT_SECONDS, Answer, Server, problem_of

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


PATIENCE_SECONDS = 30.0  # with a server that is away or busy while its work is waited for
_HICCUPS = (
    "cache_unavailable",
    "database_unavailable",
    "queue_unavailable",
    "deadline_exceeded",
    "shutting_down",
)

Shown = Callable[[dict[str, Any]], None]


def run_to_end(
    server: Server,
    path: str,
    *,
    query: Mapping[str, str],
    body: bytes | None,
    content_type: str = "application/json",
    admin: bool,
    offers: str,
    show: Shown,
    timeout_seconds: float | None = None,
    again: str,
) -> bytes:
    """Ask for work (POST with a body, else GET) and wait for it: the body of the 200 that ends it.

    `show` is called with each report of progress; `again` is how to ask again, for people.
    Raises `Unfinished` after `timeout_seconds`, `Interrupted` on Ctrl-C, and what an error means.
    """
    ends = time.monotonic() + timeout_seconds if timeout_seconds is not None else math.inf
    late = Unfinished(f"not finished after {timeout_seconds or 0:g} s; the work goes on", again)
    show({})  # the first answer may take as long as ORCHARD_REQUEST_TIMEOUT
    try:
        try:
            answer = server.request(
                "POST" if body is not None else "GET",
                path,
                query=query,
                body=body,
                content_type=content_type,
                admin=admin,
                timeout_seconds=min(TIMEOUT_SECONDS, timeout_seconds or TIMEOUT_SECONDS),
            )
        except ServerUnreachable:
            if time.monotonic() >= ends:
                raise late from None
            raise
        server.check(answer, offers=offers, admin=admin)
        return _wait(server, answer, offers=offers, show=show, ends=ends, late=late)
    except KeyboardInterrupt:
        raise Interrupted("interrupted; Orchard goes on with the work", again) from None


def _wait(
    server: Server, answer: Answer, *, offers: str, show: Shown, ends: float, late: Unfinished
) -> bytes:
    location = ""
    failing_since: float | None = None
    while answer.status != 200:
        if answer.status == 202:
            report = answer.json()
            location = _path(answer, report)
            failing_since = None
            show(report)
        elif not _is_hiccup(answer):
            server.check(answer, offers=offers)
            raise CommandFailed(f"the server answered with status {answer.status}, which says nothing here")
        else:
            failing_since = failing_since or time.monotonic()
            if time.monotonic() - failing_since > PATIENCE_SECONDS:
                server.check(answer, offers=offers)
        if time.monotonic() >= ends:
            raise late
        time.sleep(min(answer.retry_after_seconds, max(ends - time.monotonic(), 0.0)))
        try:
            answer = server.request("GET", location)
        except ServerUnreachable:
            failing_since = failing_since or time.monotonic()
            if time.monotonic() - failing_since > PATIENCE_SECONDS:
                raise
            answer = Answer(503, {}, b"")
    return answer.body


def _is_hiccup(answer: Answer) -> bool:
    """A failure of the server that asks, not of the work that is asked for."""
    if answer.status != 503:
        return False
    problem = problem_of(answer)
    return problem.get("code", "") in ("", *_HICCUPS)


def _path(answer: Answer, report: Any) -> str:
    """Where to ask again: a path of this server, whatever host a header names."""
    location = report.get("location") if isinstance(report, dict) else None
    location = str(location or answer.headers.get("location", ""))
    if not location.startswith("/api/"):
        raise CommandFailed("the server does not say where to ask for the outcome")
    return location
