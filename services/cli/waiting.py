"""Waiting for long work of the server: it answers 202 with how far it is, and is asked again."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from services.cli.errors import CommandFailed, Interrupted, ServerUnreachable, Unfinished
from services.cli.server import Answer, Server, problem_of

PATIENCE_SECONDS = 30.0  # with a server that is away or busy while its work is waited for
_HICCUPS = (
    "cache_unavailable",
    "database_unavailable",
    "queue_unavailable",
    "deadline_exceeded",
    "shutting_down",
)

Shown = Callable[[dict[str, Any]], None]


def wait_for(
    server: Server,
    first: Answer,
    *,
    offers: str,
    show: Shown,
    timeout_seconds: float | None = None,
    began: float,
    again: str,
) -> bytes:
    """The body of the 200 that ends the work. `show` is called with each report of progress;
    `began` is when it was asked for (time.monotonic()), `again` how to ask again, for people.

    Raises `Unfinished` after `timeout_seconds`, `Interrupted` on Ctrl-C, and what an error means.
    """
    answer, location = first, ""
    failing_since: float | None = None
    try:
        while answer.status != 200:
            if answer.status == 202:
                report = answer.json()
                location = _path(answer, report)
                failing_since = None
                show(report)
            elif answer is first or not _is_hiccup(answer):
                server.check(answer, offers=offers)
                raise CommandFailed(
                    f"the server answered with status {answer.status}, which says nothing here"
                )
            elif failing_since is not None and time.monotonic() - failing_since > PATIENCE_SECONDS:
                server.check(answer, offers=offers)
            else:
                failing_since = failing_since or time.monotonic()
            if timeout_seconds is not None and time.monotonic() - began > timeout_seconds:
                raise Unfinished(f"not finished after {timeout_seconds:g} s; the work goes on", again)
            time.sleep(answer.retry_after_seconds)
            try:
                answer = server.request("GET", location)
            except ServerUnreachable:
                failing_since = failing_since or time.monotonic()
                if time.monotonic() - failing_since > PATIENCE_SECONDS:
                    raise
                answer = Answer(503, {}, b"")
    except KeyboardInterrupt:
        raise Interrupted("interrupted; Orchard goes on with the work", again) from None
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
