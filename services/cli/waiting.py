"""Waiting for long work of the server: it answers 202 with how far it is, and is asked again."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

from services.cli.errors import CommandFailed, Interrupted, ServerUnreachable, Unfinished
from services.cli.server import TIMEOUT_SECONDS, Answer, Server, problem_of

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
