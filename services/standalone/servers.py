"""What the embedded stores have in common: a folder, a remembered port, a generated password.

A server here is a description of a process (prepare, launch, ready); the supervisor runs it like
any other child. `start()` and `stop()` are for tests and benchmarks that need just the store.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

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
        self.folder.mkdir(parents=True, exist_ok=True)
        self.prepare()
        log = self.folder / "server.log"
        written = size_of(log)
        process = spawn(self.launch(), log=log, death_signal=self.stop_signal)
        self._process = process

        def settled() -> bool:
            return process.poll() is not None or self.ready(process.pid)

        answered = wait_until(settled, timeout_seconds=timeout_seconds)
        if answered and process.poll() is None:
            return self
        reason = "did not answer in time" if process.poll() is None else describe_exit(process.returncode)
        self.stop()
        raise StoreFailed(f"{self.name} {reason}: {' | '.join(last_lines(log, 3, start=written))}")

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


def remembered_secret(path: Path) -> str:
    """The password in `path`, generated at first use; the file is readable by its owner only."""
    with contextlib.suppress(FileNotFoundError):
        kept = path.read_text().strip()
        if kept:
            return kept
    generated = secrets.token_hex(24)
    write_private(path, generated + "\n")
    return generated


def write_private(path: Path, text: str) -> None:
    """Replace `path` at once with `text`, mode 0600 from its first byte."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    fresh.replace(path)


def remembered_port(path: Path) -> int:
    """A free loopback port: the one used last time if it is still free, otherwise a new one."""
    preferred = 0
    with contextlib.suppress(FileNotFoundError, ValueError):
        preferred = int(path.read_text())
    port = free_port(preferred)
    if port != preferred:
        path.write_text(f"{port}\n")
    return port


def free_port(preferred: int = 0) -> int:
    """`preferred` if nobody listens there, otherwise a free port on loopback.

    Taken from below the range that systems use for outgoing connections, so that none of those can
    take it between this look and the server's start.
    """
    candidates = [preferred] if preferred else []
    candidates += [20_000 + secrets.randbelow(12_000) for _ in range(20)]
    for candidate in (*candidates, 0):
        with socket.socket() as probe, contextlib.suppress(OSError):
            # As servers do: a port in TIME_WAIT is free, one that somebody listens on is not.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((LOOPBACK, candidate))
            return int(probe.getsockname()[1])
    raise StoreFailed("no free port on 127.0.0.1")
