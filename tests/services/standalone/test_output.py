"""Commands over the stores: an output that nobody can take is told in one line, after the work is done."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.stores import ROOT

CODE = """
import sys
from pathlib import Path
from services.standalone.command import ended, tell
sys.exit(ended(lambda: tell("done") or 0, Path("x")))
"""


@pytest.mark.parametrize(
    ("into", "said"),
    [(">/dev/full", "No space left on device"), (">&-", "it is closed")],
    ids=["full", "closed"],
)
def test_output_that_nobody_can_take__one_line_and_exit_1(into: str, said: str) -> None:
    line = f"exec {sys.executable} -c '{CODE}' {into}".replace("'\n", "'", 1)
    done = subprocess.run(["sh", "-c", line], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert f"standard output: {said}" in done.stderr
