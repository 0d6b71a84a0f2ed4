"""A service that is forked starts, says and ends as one that is started by itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import warm
from tests.support.stores import ROOT


@pytest.mark.parametrize("service", ["gateway", "fetcher", "extractor"])
def test_bad_settings__the_same_words_and_exit_code(tmp_path: Path, service: str) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ORCHARD_")}
    env = kept | {"ORCHARD_PORT": "none"}
    module, log = f"services.{service}", tmp_path / "log"
    alone = subprocess.run([sys.executable, "-m", module], cwd=ROOT, env=env, capture_output=True, text=True)
    assert warm.start(module, env=env, log=log).wait(60) == alone.returncode == 2
    assert log.read_text() == alone.stdout + alone.stderr != ""


def test_killed__tells_the_signal__and_a_second_one_runs_on(
    store_settings: dict[str, str], tmp_path: Path
) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ORCHARD_")}
    env = kept | store_settings | {"ORCHARD_WORKER_PORT": "0"}
    first, second = (
        warm.start("services.fetcher", env=env, log=tmp_path / name) for name in ("first", "second")
    )
    assert os.getpgid(first.pid) == first.pid != second.pid
    assert first.poll() is None
    first.kill()
    assert first.wait(30) == -signal.SIGKILL
    with pytest.raises(subprocess.TimeoutExpired):
        second.wait(0.1)
    second.kill()
    assert second.wait(30) == -signal.SIGKILL
