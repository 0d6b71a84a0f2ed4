"""Ends Orchard's processes if the supervisor dies without doing so (SIGKILL, out of memory).

A program of its own that imports only the standard library. Its standard input is a pipe whose
other end only the supervisor holds, so the end of the file means that the supervisor is gone.
Lines on it: "+PID" a process group to look after, "-PID" one that has ended, "quit" an orderly end.
It also holds the data folder's lock, so that a new Orchard waits until the old one is cleared away.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterable

GRACE_SECONDS = 3.0


def read_groups(lines: Iterable[bytes]) -> set[int]:
    """Read the supervisor's lines to their end; returns the groups that are left."""
    groups: set[int] = set()
    for line in lines:
        note = line.strip()
        if note == b"quit":
            return set()
        with contextlib.suppress(ValueError):
            pid = int(note[1:])
            if note[:1] == b"+" and pid > 1:
                groups.add(pid)
            elif note[:1] == b"-":
                groups.discard(pid)
    return groups


def end_groups(groups: set[int], *, grace_seconds: float = GRACE_SECONDS) -> None:
    """SIGTERM, a while to finish, SIGKILL."""
    deadline = time.monotonic() + grace_seconds
    left = {group for group in groups if _signal(group, signal.SIGTERM)}
    while left and time.monotonic() < deadline:
        time.sleep(0.05)
        left = {group for group in left if _signal(group, None)}
    for group in left:
        _signal(group, signal.SIGKILL)


def _signal(group: int, number: signal.Signals | None) -> bool:
    try:
        os.killpg(group, 0 if number is None else number)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def main() -> None:
    """Wait for the supervisor's end. Signals to this process itself are of no interest."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    end_groups(read_groups(sys.stdin.buffer))


if __name__ == "__main__":
    main()
