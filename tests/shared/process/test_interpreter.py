"""Services run with an interpreter that is set up for them."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest
import uvloop

from shared.process import interpreter
from shared.settings import Settings
from shared.worker.process import worker_main

SHOWN = "import gc, sys; print(gc.get_freeze_count() > 1000, sys.getswitchinterval())"


def test_tune__what_stands_by_now__is_left_to_itself() -> None:
    code = f"from shared.process import interpreter; interpreter.tune(); {SHOWN}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", str(interpreter.SWITCH_SECONDS)]


def test_worker__when_it_starts__is_tuned_once_before_it_works(monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    monkeypatch.setattr(interpreter, "tune", lambda: steps.append("tuned"))
    monkeypatch.setattr("shared.worker.process.configure_logging", lambda *_: None)
    monkeypatch.setattr(uvloop, "run", lambda served: (served.close(), steps.append("run")))
    monkeypatch.setattr(sys, "argv", ["worker"])

    async def serve(settings: Settings, stop: asyncio.Event) -> None: ...

    assert worker_main("fetcher", "", serve) == 0
    assert steps == ["tuned", "run"]
