"""The supervisor's side of the watchdog, which learns of every process and is restarted if it dies."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from pathlib import Path

WATCHDOG = Path(__file__).with_name("watchdog.py")


class Guard:
    """Keeps a watchdog process that knows all children's process groups."""

    def __init__(self, lock_fd: int) -> None:
        self._lock_fd = lock_fd
        self._groups: set[int] = set()
        self._process: subprocess.Popen[bytes] | None = None
        self.announce_fd = -1  # children write their own pid here, before they execute anything

    def open(self) -> None:
        """Start the watchdog."""
        reading, writing = os.pipe()
        # -I -S: nothing but the standard library is loaded, in 15 ms and 8 MB.
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(WATCHDOG)],
            stdin=reading,
            stdout=subprocess.DEVNULL,  # it must not hold a terminal or a pipe open
            stderr=subprocess.DEVNULL,
            pass_fds=(self._lock_fd,),
            start_new_session=True,
            cwd="/",
        )
        os.close(reading)
        self._close_pipe()
        self.announce_fd = writing
        for group in self._groups:
            self._note(b"+%d\n" % group)

    def started(self, pid: int) -> None:
        """A child has been started (it has announced itself to the watchdog)."""
        self._groups.add(pid)

    def ended(self, pid: int) -> None:
        """A child and all it started are gone."""
        self._groups.discard(pid)
        self._note(b"-%d\n" % pid)

    async def keep(self) -> None:
        """Replace a watchdog that was killed. Runs until it is cancelled."""
        while True:
            await asyncio.sleep(1.0)
            if self._process is not None and self._process.poll() is not None:
                self.open()

    def close(self) -> None:
        """End the watchdog; all children must have ended."""
        self._note(b"quit\n")
        self._close_pipe()
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(1.0)
            self._process.kill()
            self._process.wait()
            self._process = None

    def _close_pipe(self) -> None:
        if self.announce_fd >= 0:
            os.close(self.announce_fd)
            self.announce_fd = -1

    def _note(self, line: bytes) -> None:
        with contextlib.suppress(OSError):  # a watchdog that died is replaced by keep()
            os.write(self.announce_fd, line)
