"""Services for tests, forked from a process that has imported them: imports are two thirds of a start.

`start` is what `subprocess.Popen([python, "-m", module])` is, for the services of this tree. Run as a program
it is the process that forks: it reads orders from a socket and tells which services have ended, and how.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import json
import os
import random
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
MOST_BYTES = 200_000  # of an order: an environment
IMPORTED = (
    "services.gateway.app",
    "services.fetcher.compose",
    "services.extractor.compose",
    "granian.server.mp",
)


class Forked:
    """A service that runs; the methods are Popen's."""

    def __init__(self, parent: _Parent, pid: int) -> None:
        self._parent, self.pid = parent, pid

    @property
    def returncode(self) -> int | None:
        return self._parent.ended.get(self.pid)

    def poll(self) -> int | None:
        return self._parent.wait(self.pid, 0)

    def wait(self, timeout: float | None = None) -> int:
        code = self._parent.wait(self.pid, timeout)
        if code is None:
            raise subprocess.TimeoutExpired(["forked service"], timeout or 0)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def start(module: str, *, env: Mapping[str, str], log: Path, session: bool = True) -> Forked:
    """`python -m module` in `ROOT`, its output at the end of `log`; with `session` in a group of its own."""
    return _parent().start({"module": module, "env": dict(env), "log": str(log), "session": session})


class _Parent:
    """The process that forks, and what it has told."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        env = {name: value for name, value in os.environ.items() if not name.startswith("ORCHARD_")}
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.warm", str(theirs.fileno())],
                cwd=ROOT, env=env, pass_fds=[theirs.fileno()], start_new_session=True,
            )  # fmt: skip
        atexit.register(self.close)
        self.ended: dict[int, int] = {}

    def start(self, order: Mapping[str, Any]) -> Forked:
        with self._lock:
            self._channel.send(json.dumps(order).encode())
            while "pid" not in (told := self._told()):
                pass
            self.ended.pop(told["pid"], None)  # of one that had this number before
            return Forked(self, told["pid"])

    def wait(self, pid: int, timeout: float | None) -> int | None:
        """Its exit code as Popen tells it; None while it runs."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            with self._lock:
                while pid not in self.ended and select.select([self._channel], [], [], 0)[0]:
                    self._told()
                if pid in self.ended:
                    return self.ended[pid]
            if deadline is not None and time.monotonic() >= deadline:
                return None
            left = 0.2 if deadline is None else min(0.2, max(0.0, deadline - time.monotonic()))
            select.select([self._channel], [], [], left)

    def _told(self) -> dict[str, int]:
        told: dict[str, int] = json.loads(self._channel.recv(MOST_BYTES) or b'{"lost": 0}')
        if "lost" in told:
            raise RuntimeError("the process that forks services has ended")
        if "ended" in told:
            self.ended[told["ended"]] = told["code"]
        return told

    def close(self) -> None:
        self._channel.close()
        self._process.wait()


@functools.cache
def _parent() -> _Parent:
    return _Parent()


# --- the process that forks -------------------------------------------------------------------------


def _serve(channel: socket.socket) -> dict[str, Any] | None:
    """Fork until the other side is gone. In a forked process: its order."""
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    both: list[Any] = [channel, woken]
    while True:
        ready, _, _ = select.select(both, [], [])
        if woken in ready:
            os.read(woken, 4096)
            _tell_the_ended(channel)
        if channel in ready:
            message = channel.recv(MOST_BYTES)
            if not message:
                return None
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                channel.close()
                os.close(woken)
                os.close(wake)
                return dict(json.loads(message))
            channel.send(json.dumps({"pid": pid}).encode())


def _tell_the_ended(channel: socket.socket) -> None:
    with contextlib.suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            code = os.waitstatus_to_exitcode(found[1])
            channel.send(json.dumps({"ended": found[0], "code": code}).encode())


def _become(order: Mapping[str, Any]) -> None:
    """The service, as if it had been started by itself."""
    if order["session"]:
        os.setsid()
    log = os.open(order["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    for number in (1, 2):
        os.dup2(log, number)
    os.close(log)
    os.environ.clear()
    os.environ.update(order["env"])
    time.tzset()
    random.seed()
    sys.argv = [order["module"]]
    gc.unfreeze()
    runpy.run_module(order["module"], run_name="__main__", alter_sys=True)


def main() -> None:
    """Import all services, then fork."""
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    for name in IMPORTED:
        __import__(name)
    assert len(os.listdir("/proc/self/task")) == 1, "a thread would be lost in what is forked"
    gc.collect()
    gc.freeze()  # else each of them would copy it all at its first collection
    order = _serve(socket.socket(fileno=int(sys.argv[1])))
    if order is not None:
        _become(order)


if __name__ == "__main__":
    main()
