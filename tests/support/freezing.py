"""Processes that are there and do nothing: SIGSTOP, and the wait until it is so."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

_SECONDS = 10.0


def freeze(pid: int) -> None:
    """Stop a process; returns when none of its threads runs. SIGCONT wakes it."""
    os.kill(pid, signal.SIGSTOP)
    wait_until_frozen([pid])


def wait_until_frozen(pids: list[int]) -> None:
    """Return when no thread of these runs: each acts upon SIGSTOP by itself, and may answer before."""
    deadline = time.monotonic() + _SECONDS
    while any(_runs(pid) for pid in pids):
        if time.monotonic() > deadline:
            raise AssertionError(f"SIGSTOP did not stop {pids}")
        time.sleep(0.001)


def group(leader: int) -> list[int]:
    """The processes of a process group."""
    members = []
    for entry in Path("/proc").iterdir():
        with suppress(ValueError, ProcessLookupError):
            if os.getpgid(int(entry.name)) == leader:
                members.append(int(entry.name))
    return members


def _runs(pid: int) -> bool:
    with suppress(FileNotFoundError, ProcessLookupError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with suppress(FileNotFoundError, ProcessLookupError):  # a thread may end meanwhile
                # proc(5): the state stands behind the name, which is in brackets
                if (task / "stat").read_text().rpartition(")")[2].split()[0] not in "TtZX":
                    return True
    return False
