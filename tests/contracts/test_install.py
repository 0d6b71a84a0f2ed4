"""scripts/install.py says one line, counts on a terminal, and tells all when pip fails."""

from __future__ import annotations

import fcntl
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.stores import ROOT

_PIP = """\
import sys
assert "--require-hashes" in sys.argv and "--no-deps" in sys.argv, sys.argv
print("Collecting one==1 (from -r x)")
print("  Downloading one-1.whl")
print("Collecting two==2 (from -r x)")
print("Installing collected packages: one, two")
sys.exit({code})
"""


@pytest.fixture
def pins(tmp_path: Path) -> Path:
    file = tmp_path / "pins.txt"
    file.write_text("# what is pinned\none==1 \\\n    --hash=sha256:00\ntwo==2 \\\n    --hash=sha256:00\n")
    return file


def _command(pins: Path, code: int) -> tuple[list[str], dict[str, str]]:
    (pins.parent / "pip.py").write_text(_PIP.format(code=code))
    script = str(ROOT / "scripts" / "install.py")
    return [sys.executable, script, str(pins)], {**os.environ, "PYTHONPATH": str(pins.parent)}


@pytest.mark.parametrize("code", [0, 3])
def test_install__in_a_log__one_line_and_pips_own_words_when_it_fails(code: int, pins: Path) -> None:
    command, env = _command(pins, code)
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == code
    assert done.stdout.startswith("Installing 2 packages into ")
    assert ("Downloading one-1.whl" in done.stdout) == bool(code)
    assert code or done.stdout.count("\n") == 1


def test_install__on_a_terminal__counts_in_one_line(pins: Path) -> None:
    command, env = _command(pins, 0)
    ours, theirs = pty.openpty()
    with subprocess.Popen(command, env=env, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        said = b""
        try:
            while part := os.read(ours, 4096):
                said += part
        except OSError:  # how a terminal without a program ends
            pass
        os.close(ours)
    assert process.returncode == 0
    assert said.count(b"\n") == 1
    assert b": 2 of 2 " in said
    assert b"Downloading" not in said


def test_install__while_another_one_goes_on__waits_and_says_so(pins: Path) -> None:
    command, env = _command(pins, 0)
    with Path(sys.prefix, ".installing").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("Another make installs into ")
            fcntl.flock(lock, fcntl.LOCK_UN)
            assert process.stdout.read().startswith("Installing 2 packages")
    assert process.returncode == 0
