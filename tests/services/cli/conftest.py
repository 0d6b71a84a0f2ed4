"""The command as a person runs it: a process of its own, from a folder that is not the checkout."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.stores import ROOT

LAUNCH = [sys.executable, "-P", str(ROOT / "services" / "cli" / "launch.py")]


class Command:
    """`orchard` in a folder, with an environment of its own."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8"} | environment

    def __call__(self, *words: str, given: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        """Run it to its end; `given` is its standard input."""
        return subprocess.run(
            [*LAUNCH, *words],
            cwd=self.folder,
            env=self.environment | environment,
            input=given,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def json(self, *words: str, exit_code: int = 0, **environment: str) -> Any:
        """What --json prints; asserts the exit code and that nothing else is on standard output."""
        done = self(*words, "--json", **environment)
        assert done.returncode == exit_code, done.stdout + done.stderr
        return json.loads(done.stdout)

    def start(self, *words: str, **options: Any) -> subprocess.Popen[str]:
        """Start it in a process group of its own; the caller ends it."""
        return subprocess.Popen(
            [*LAUNCH, *words],
            cwd=self.folder,
            env=self.environment,
            text=True,
            start_new_session=True,
            preexec_fn=_take_interrupts,
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
        )


def _take_interrupts() -> None:
    """Where the tests run in a shell's background, SIGINT is ignored, and children inherit that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., Command]:
    """Makes a `Command` in this test's folder."""

    def make(**environment: str) -> Command:
        return Command(tmp_path, **environment)

    return make
