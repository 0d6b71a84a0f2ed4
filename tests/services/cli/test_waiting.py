"""Waiting for work: progress is shown, hiccups of the server are survived, ends are told apart."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from services.cli import waiting
from services.cli.errors import CommandFailed, Conflict, ServerUnreachable, Unfinished
from services.cli.server import Server
from services.cli.target import Target
from services.cli.waiting import run_to_end
from tests.support.orchard import free_port
from tests.support.upstream import Fault, Reply, Upstream

KEY = "/api/v1/ensures/abc"
WORKING = {
    "status": "working",
    "location": KEY,
    "retry_after_seconds": 1,
    "phase": "fetching",
    "files_known": 2,
}
NO_WAIT = {"Retry-After": "0"}


def _problem(code: str, status: int) -> Fault:
    body = json.dumps({"code": code, "detail": f"it is {code}", "hint": "h", "status": status}).encode()
    return Fault(status=status, body=body, content_type="application/problem+json", headers=NO_WAIT)


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        server.put("/start", _working())
        yield server


def _working(**more: Any) -> Reply:
    body = json.dumps(WORKING | more).encode()
    return Reply(body, "application/json", status=202, headers=NO_WAIT, etag="")


def _run(base: str, seen: list[dict[str, Any]], timeout_seconds: float | None = None) -> bytes:
    return run_to_end(
        Server(Target(base, "ORCHARD_URL")),
        "/start",
        query={},
        body=None,
        admin=False,
        offers="this",
        show=seen.append,
        timeout_seconds=timeout_seconds,
        again="Again.",
    )


@pytest.mark.parametrize("fault", [_problem("queue_unavailable", 503), Fault(reset=True, cut_at=0)])
def test_hiccup__asked_again_until_done(upstream: Upstream, fault: Fault) -> None:
    upstream.put(KEY, Reply(b"{}", "application/json"))
    upstream.fault(KEY, fault, times=2)
    seen: list[dict[str, Any]] = []
    assert _run(upstream.url, seen) == b"{}"
    assert seen == [{}, WORKING]
    assert upstream.count(KEY) == 3


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("ensure_incomplete", 503, Unfinished),
        ("upstream_unavailable", 503, Unfinished),
        ("resolution_conflict", 422, Conflict),
        ("ensure_not_found", 404, CommandFailed),
    ],
)
def test_work_that_fails__its_error_at_once(
    upstream: Upstream, code: str, status: int, kind: type[CommandFailed]
) -> None:
    upstream.put(KEY, _working())
    upstream.fault(KEY, _problem(code, status))
    with pytest.raises(kind, match=f"it is {code}"):
        _run(upstream.url, [])
    assert upstream.count(KEY) == 1


def test_hiccups_without_end__given_up(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "PATIENCE_SECONDS", 0.5)
    upstream.put(KEY, _working())
    upstream.fault(KEY, _problem("queue_unavailable", 503))
    with pytest.raises(Unfinished, match="queue_unavailable"):
        _run(upstream.url, [])


def test_time_is_over__while_the_first_answer_is_waited_for(upstream: Upstream) -> None:
    upstream.fault("/start", Fault(stall_at=0))
    with pytest.raises(Unfinished, match="the work goes on"):
        _run(upstream.url, [], timeout_seconds=0.3)


def test_location_on_another_host__is_refused(upstream: Upstream) -> None:
    upstream.put("/start", _working(location="http://example.com/api/v1/ensures/abc"))
    with pytest.raises(CommandFailed, match="does not say where"):
        _run(upstream.url, [])


def test_nobody_listens__unreachable() -> None:
    with pytest.raises(ServerUnreachable):
        _run(f"http://127.0.0.1:{free_port()}", [])
