"""What failed first and passed at its second try is told of: `.ci/run` prints these names."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from scripts.failed_tests import failed

TESTS = """
import pytest

def test_good():
    pass

@pytest.mark.parametrize("way", ["a b", "c"])
def test_bad(way):
    assert way == "c"
"""


def _run(folder: Path, *words: str) -> int:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "xdist.plugin", "--numprocesses", "2", *words]
    command.append(f"--basetemp={folder / 'temporary'}")  # or it would tidy up what other runs have left
    env = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # the others take seconds to load
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, timeout=100).returncode


def test_failed__of_a_run_in_several_processes__names_them_until_they_pass(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_two.py").write_text(TESTS)
    last = tmp_path / ".pytest_cache" / "v" / "cache" / "lastfailed"
    assert failed(last) == []
    assert _run(tmp_path) == 1
    assert failed(last) == ["test_two.py::test_bad[a b]"]
    (tmp_path / "test_two.py").write_text(TESTS.replace('== "c"', 'in ("a b", "c")'))
    assert _run(tmp_path, "--last-failed") == 0
    assert failed(last) == []
