"""What the embedded stores have in common: a folder, a remembered port, a generated password.

A server here is a description of a process (prepare, launch, ready); the supervisor runs it like
any other child. `start()` and `stop()` are for tests and benchmarks that need just the store.
"""

from __future__ import annotations

import contextlib
import secrets
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Container, Mapping
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from services.standalone.kept_files import remembered_number, write_private
from services.standalone.processes import Launch, describe_exit, last_lines, size_of, spawn, stop, wait_until

LOOPBACK = "127.0.0.1"


class StoreFailed(Exception):
    """An embedded store did not start. The message is one line for the terminal."""


class EmbeddedServer(ABC):
    """A store that runs as a process of its own on loopback, with all its files in one folder."""

    name: ClassVar[str] = ""
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.port = 0
        self.reserved: Container[int] = ()  # ports that are somebody else's, though nobody listens there yet
        self.password = ""
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def prepare(self) -> None:
        """Make the folder ready for `launch()`. Raises `StoreFailed` or `OSError`. Blocking."""

    @abstractmethod
    def launch(self) -> Launch:
        """The process to execute; it stays in the foreground."""

    @abstractmethod
    def ready(self, pid: int) -> bool:
        """Whether the process `pid` takes connections now. Does not block longer than 0.5 s."""

    def alive(self) -> bool:
        """False if it runs and does not respond. Does not block longer than 0.5 s."""
        return True

    def recover(self, said: str) -> str:
        """After a start that ended at once with the output `said`: repair or put aside what may be lost.
        Returns one line about what was done, and the start is tried again; "" if nothing was.
        """
        return ""

    @abstractmethod
    def settings(self) -> Mapping[str, str]:
        """The ORCHARD_* variables by which a service finds this server."""

    # --- running it alone ----------------------------------------------------------------------

    @property
    def pid(self) -> int:
        """The server's process id. Raises `StoreFailed` when it was not started here."""
        if self._process is None:
            raise StoreFailed(f"{self.name} is not running")
        return self._process.pid

    def start(self, *, timeout_seconds: float = 30.0) -> Self:
        """Prepare, start and wait until connections are taken. Raises `StoreFailed`."""
        self.prepare()
        deadline = time.monotonic() + timeout_seconds
        while fault := self._start_once(deadline):
            reason, said = fault
            mended = self.recover(said) if time.monotonic() < deadline else ""
            if not mended:
                raise StoreFailed(f"{self.name} {reason}: {' | '.join(said.splitlines()[-3:])}")
        return self

    def _start_once(self, deadline: float) -> tuple[str, str] | None:
        """None: it runs. Otherwise why not, and what it said."""
        log = self.folder / "server.log"
        written = size_of(log)
        process = spawn(self.launch(), log=log, death_signal=self.stop_signal)
        self._process = process

        def settled() -> bool:
            return process.poll() is not None or self.ready(process.pid)

        answered = wait_until(settled, timeout_seconds=max(0.0, deadline - time.monotonic()))
        if answered and process.poll() is None:
            return None
        reason = "did not answer in time" if process.poll() is None else describe_exit(process.returncode)
        self.stop()
        return reason, "\n".join(last_lines(log, start=written))

    def stop(self, *, timeout_seconds: float = 5.0) -> None:
        """Stop it and wait for its end; a second call does nothing."""
        if self._process is not None:
            process, self._process = self._process, None
            stop(process, self.stop_signal, timeout_seconds=timeout_seconds)

    def kill(self) -> None:
        """End it as a power cut would, for tests of recovery."""
        if self._process is not None:
            process, self._process = self._process, None
            stop(process, signal.SIGKILL, timeout_seconds=5.0)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def remembered_port(path: Path, reserved: Container[int] = ()) -> int:
    """A free loopback port: the one used last time if it is still free, otherwise a new one."""
    preferred = remembered_number(path, 65535)
    port = free_port(preferred, reserved)
    if port != preferred:
        write_private(path, f"{port}\n")
    return port


def free_port(preferred: int = 0, reserved: Container[int] = ()) -> int:
    """`preferred` if nobody listens there, otherwise a free port on loopback; none of `reserved`.

    Taken from below the range that systems use for outgoing connections, so that none of those can
    take it between this look and the server's start.
    """
    candidates = [preferred] if preferred else []
    candidates += [20_000 + secrets.randbelow(12_000) for _ in range(20)]
    for candidate in (*candidates, 0):
        if candidate in reserved:
            continue
        with socket.socket() as probe, contextlib.suppress(OSError):
            # As servers do: a port in TIME_WAIT is free, one that somebody listens on is not.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((LOOPBACK, candidate))
            return int(probe.getsockname()[1])
    raise StoreFailed("no free port on 127.0.0.1")
