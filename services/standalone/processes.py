"""Starting and stopping operating-system processes so that none outlives Orchard.

Every child leads a session of its own: a terminal's Ctrl-C reaches only the supervisor, which
then stops the children in order, and a signal to the child's group reaches its own children too.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PR_SET_PDEATHSIG = 1  # prctl(2), Linux


@dataclass(frozen=True, slots=True)
class Launch:
    """What to execute. `user` is set only where root must give up its identity (PostgreSQL)."""

    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)  # added to the inherited one
    directory: Path | None = None
    user: int | None = None
    text: str = ""  # standard input, for run() only


def _load_prctl() -> Callable[..., int] | None:
    if not sys.platform.startswith("linux"):
        return None
    prctl: Callable[..., int] = ctypes.CDLL(None, use_errno=True).prctl
    return prctl


_PRCTL = _load_prctl()  # looked up once: nothing may be loaded between fork and exec


def spawn(
    launch: Launch,
    *,
    log: Path | None = None,
    death_signal: signal.Signals = signal.SIGTERM,
    announce_fd: int | None = None,
) -> subprocess.Popen[bytes]:
    """Start `launch` in a new session, its output appended to `log` (None: discarded).

    Where the system can (Linux), the child gets `death_signal` when its parent dies. Call it from
    a thread that lives as long as the child may: that signal follows the thread, see prctl(2).
    `announce_fd`: the child writes its pid there before it executes, for the watchdog.
    Raises `OSError` if the program cannot be executed.
    """
    parent = os.getpid()

    def before_exec() -> None:
        if announce_fd is not None:
            os.write(announce_fd, b"+%d\n" % os.getpid())
        if _PRCTL is not None:
            _PRCTL(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
            if os.getppid() != parent:  # it died between fork and prctl
                os._exit(1)

    with contextlib.ExitStack() as opened:
        output: int = subprocess.DEVNULL
        if log is not None:
            output = opened.enter_context(log.open("ab")).fileno()
        return subprocess.Popen(
            list(launch.command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **launch.environment},
            cwd=launch.directory,
            start_new_session=True,
            preexec_fn=before_exec,
            user=launch.user,
            group=launch.user,
            extra_groups=None if launch.user is None else [],
        )


def run(launch: Launch, *, timeout_seconds: float) -> subprocess.CompletedProcess[str]:
    """Execute `launch` to its end, its standard input being `launch.text`. Raises `OSError` if it
    cannot be executed, `subprocess.TimeoutExpired` if it does not end."""
    return subprocess.run(
        list(launch.command),
        input=launch.text,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout_seconds,
        check=False,
        env={**os.environ, **launch.environment},
        cwd=launch.directory,
        user=launch.user,
        group=launch.user,
        extra_groups=None if launch.user is None else [],
    )


def signal_group(pid: int, number: signal.Signals) -> None:
    """Send a signal to a child and to everything it started; silent if all of them have ended."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def stop(process: subprocess.Popen[bytes], number: signal.Signals, *, timeout_seconds: float) -> None:
    """Ask a child to end, wait, then kill its whole group. Returns when it has ended."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout_seconds)
    signal_group(process.pid, signal.SIGKILL)
    process.wait()


def describe_exit(code: int) -> str:
    """A return code as words: "ended with exit code 3", "was killed by SIGKILL"."""
    if code < 0:
        try:
            return f"was killed by {signal.Signals(-code).name}"
        except ValueError:
            return f"was killed by signal {-code}"
    return f"ended with exit code {code}"


def last_lines(log: Path, count: int = 8, *, start: int = 0) -> list[str]:
    """The end of a log file from byte `start` on, for the terminal when a start fails; [] if there
    is no such file."""
    try:
        with log.open("rb") as file:
            file.seek(max(start, log.stat().st_size - 8192))
            return file.read().decode(errors="replace").splitlines()[-count:]
    except OSError:
        return []


def size_of(path: Path) -> int:
    """Bytes in a file, 0 if it does not exist."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def wait_until(ready: Callable[[], bool], *, timeout_seconds: float, pause_seconds: float = 0.01) -> bool:
    """Poll `ready`, blocking; False when the time is over."""
    deadline = time.monotonic() + timeout_seconds
    while not ready():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause_seconds)
    return True
