"""`orchard logs`: lines of all processes in the order of their times, of one request alone, of a level."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.services.cli.conftest import Command


def line(at: int, request_id: str, level: str = "info", **more: object) -> str:
    stamp = f"2026-11-29T10:00:{at:02d}.000000Z"
    return json.dumps(
        {"timestamp": stamp, "level": level, "event": f"e{at}", "request_id": request_id, **more}
    )


@pytest.fixture
def here(command: Callable[..., Command], tmp_path: Path) -> Command:
    logs = tmp_path / "data" / "logs"
    logs.mkdir(parents=True)
    (logs / "gateway.log").write_text("\n".join([line(1, "a"), line(4, "b"), "no json", '{"cut": ']) + "\n")
    (logs / "gateway.log.1").write_text(line(0, "a", "warning") + "\n")
    (logs / "fetcher-2.log").write_text(
        line(2, "a", bytes=7) + "\n" + line(3, "a", "error", why="\x1b[2J") + "\n"
    )
    (logs / "postgres.log").write_text("2026-11-29 10:00:00 LOG: ready\n")
    return command(ORCHARD_DATA_DIR=str(tmp_path / "data"))


def test_logs__of_a_request__in_order_over_all_processes_and_older_files(here: Command) -> None:
    items = here.json("logs", "a")["items"]
    assert [(each["service"], each["event"]) for each in items] == [
        ("gateway", "e0"),
        ("gateway", "e1"),
        ("fetcher-2", "e2"),
        ("fetcher-2", "e3"),
    ]
    told = here("logs", "a")
    assert "fetcher-2 e2 bytes=7" in told.stdout and "\x1b" not in told.stdout


def test_logs__level_and_limit(here: Command) -> None:
    assert [each["event"] for each in here.json("logs", "--level", "warning")["items"]] == ["e0", "e3"]
    assert [each["event"] for each in here.json("logs", "--limit", "2")["items"]] == ["e3", "e4"]


def test_logs__nothing_of_it_or_no_logs__one_line_says_where_else(
    here: Command, command: Callable[..., Command], tmp_path: Path
) -> None:
    said = here("logs", "zzz")
    assert said.returncode == 1 and "nothing was said of request zzz" in said.stderr
    said = command(ORCHARD_DATA_DIR=str(tmp_path / "none"))("logs")
    assert said.returncode == 1 and "ORCHARD_DATA_DIR" in said.stderr
