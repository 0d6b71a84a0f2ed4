"""`orchard build exec`: the command gets our signals, is waited for, and its end is ours."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from services.cli.errors import CommandFailed
from services.cli.running import BY_SIGNAL, run_command
from tests.support.stores import ROOT

RUN = """import os, signal, sys
from services.cli.running import run_command
for each in (signal.SIGINT, signal.SIGHUP):  # a run of the tests in the background inherits them ignored
    signal.signal(each, signal.SIG_DFL)
sys.exit(run_command(sys.argv[1:], os.environ))"""
CLEANS = "trap 'sleep 0.5; echo cleaned; exit 7' %s; echo ready; while :; do sleep 0.05; done"


def started(script: str) -> subprocess.Popen[str]:
    """Ours, in a session without a terminal, once its command is there."""
    line = [sys.executable, "-c", RUN, "sh", "-c", script]
    ours = subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert ours.stdout is not None and ours.stdout.readline() == "ready\n"
    return ours


@pytest.mark.parametrize("name", ["INT", "TERM", "HUP", "USR1"])
def test_signal_to_us_alone__reaches_the_command__which_is_waited_for(name: str) -> None:
    ours = started(CLEANS % name)
    ours.send_signal(getattr(signal, f"SIG{name}"))
    told, _ = ours.communicate(timeout=30)
    assert (told, ours.returncode) == ("cleaned\n", 7)


def test_command_that_a_signal_ends__as_shells_tell_it() -> None:
    ours = started("echo ready; exec sleep 60")
    ours.terminate()
    ours.communicate(timeout=30)
    assert ours.returncode == BY_SIGNAL + signal.SIGTERM
    assert run_command(["sh", "-c", "kill -KILL $$"], {}) == BY_SIGNAL + signal.SIGKILL
    assert run_command(["sh", "-c", "exit 3"], {}) == 3


def test_command_that_is_not_there__says_so() -> None:
    with pytest.raises(CommandFailed, match="no-such-program cannot be run"):
        run_command(["no-such-program"], {})
