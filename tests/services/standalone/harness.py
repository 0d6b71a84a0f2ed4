"""Runs the standalone command as a person would and knows every process that belongs to it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from services.standalone.servers import free_port
from tests.support.stores import ROOT

FAKES = "tests.services.standalone.fakes.orchard"
MARK = "STANDALONE_TEST_MARK"


def wait_for(condition: Callable[[], bool], what: str, *, seconds: float = 60.0) -> None:
    """Poll until true; fails naming `what` otherwise."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.02)


def tool(*words: str, data: Path, exit_code: int = 0, **settings: str) -> str:
    """`python -m services.standalone.backup`, and what it said."""
    with started(*words, data=data, **settings) as process:
        stdout, stderr = process.communicate(timeout=110)
    assert process.returncode == exit_code, stdout + stderr
    return str(stdout + stderr)


def started(*words: str, data: Path, **settings: str) -> subprocess.Popen[str]:
    """The same, not waited for."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ORCHARD_")}
    environment |= {"ORCHARD_DATA_DIR": str(data), **settings}
    command = [sys.executable, "-m", "services.standalone.backup", *words]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=pipe, stderr=pipe, text=True)


class Standalone:
    """One run of the command on `folder`; everything it started is killed when the test is over."""

    def __init__(
        self,
        folder: Path,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        module: str = FAKES,
        through: Sequence[str] = (),
    ) -> None:
        self.folder = folder
        self.port = free_port()
        self.mark = uuid.uuid4().hex
        self._arguments = [*through, sys.executable, "-m", module, *arguments]
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("ORCHARD_")}
        self._environment = {
            **inherited,
            "ORCHARD_DATA_DIR": str(folder),
            "ORCHARD_PORT": str(self.port),
            # Of the reserved names that resolve nowhere (RFC 6761 §6.4); nothing is asked of it here.
            "ORCHARD_PYPI_UPSTREAM": "http://index.invalid/simple/",
            MARK: self.mark,
            **(environment or {}),
        }
        self.output = folder.parent / f"output-{self.mark}"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    def __enter__(self) -> Standalone:
        with self.output.open("wb") as output:
            self._process = subprocess.Popen(
                self._arguments,
                cwd=ROOT,
                env=self._environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self

    def __exit__(self, *_: object) -> None:
        for pid in (self.process.pid, *self.pids()):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait()

    @property
    def text(self) -> str:
        """All that was printed so far, on both streams."""
        return self.output.read_text()

    def wait_until_ready(self) -> Standalone:
        wait_for(lambda: self.process.poll() is not None or "Ctrl-C" in self.text, "the banner")
        assert self.process.poll() is None, self.text
        return self

    def wait_until_over(self, *, seconds: float = 60.0) -> int:
        """The exit code."""
        return self.process.wait(seconds)

    def pids(self) -> set[int]:
        """Every living process of this run but the command itself, however it was detached."""
        return {
            int(entry.name)
            for entry in Path("/proc").iterdir()
            if entry.name.isdigit() and int(entry.name) != self.process.pid and self._is_ours(entry)
        }

    def _is_ours(self, entry: Path) -> bool:
        try:
            if (entry / "stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return False
            # PostgreSQL's own children overwrite their environment; they stand in its data folder.
            in_folder = Path(os.readlink(entry / "cwd")).is_relative_to(self.folder.resolve())
            return in_folder or f"{MARK}={self.mark}".encode() in (entry / "environ").read_bytes()
        except OSError:
            return False

    def pid_of(self, words: str) -> int:
        """The one process whose command line holds `words`."""
        found = [pid for pid in self.pids() if words in command_line(pid)]
        assert len(found) == 1, f"{words}: {[command_line(pid) for pid in self.pids()]}"
        return found[0]

    def leader_of(self, words: str) -> int:
        """The supervisor's own child whose command line holds `words`, not one which that started."""
        found = [pid for pid in self.pids() if words in command_line(pid) and os.getpgid(pid) == pid]
        assert len(found) == 1, f"{words}: {[command_line(pid) for pid in self.pids()]}"
        return found[0]

    def gateway_answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health/ready", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""
