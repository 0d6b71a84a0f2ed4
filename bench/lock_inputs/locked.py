"""What all lockers share: a lock that a client made, and how clients are run."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx
import msgspec

from tests.support.client_environments import CLIENTS, with_home

CLIENT_SECONDS = 600
RETRY_SECONDS = 5.0
TRIES = 5
_PASSING = re.compile(r'^orchard_http_requests_total{[^}]*status_class="5xx"[^}]*} (\S+)$', re.MULTILINE)


class Locked(msgspec.Struct, frozen=True):
    """A lock of a project; `by` names the client that made it, or says why it could not."""

    form: str  # of `reading.READERS`
    project: str
    path: Path
    by: str
    failed: str = ""


class Through:
    """The Orchard that clients lock through, and the folder in which they have their homes and caches."""

    def __init__(self, work: Path, base: str) -> None:
        self.work = work
        self.base = base
        self.again = 0  # runs of clients after passing failures

    def url(self, path: str) -> str:
        return self.base + path

    def environment(self, **extra: str) -> dict[str, str]:
        """Nothing of this machine's own settings."""
        return {**with_home(self.work / "home"), **extra}

    def folder(self, form: str, project: str) -> Path:
        made = self.work / "projects" / form.replace(" ", "-") / project
        made.mkdir(parents=True)
        return made

    def run(self, command: Sequence[str | Path], cwd: Path, env: Mapping[str, str]) -> str:
        """What is wrong, "" for nothing. A client that failed and was answered with a passing failure is run
        again, at most `TRIES` times in all. It is the Orchard that tells: not every client says why."""
        for _ in range(TRIES):
            before = self._passing()
            wrong = self._once(command, cwd, env)
            if not wrong or self._passing() == before:
                break
            self.again += 1
            time.sleep(RETRY_SECONDS)
        return wrong

    def _passing(self) -> int:
        """How many requests the Orchard answered with 5xx; a passing failure is always 503."""
        text = httpx.get(self.url("/metrics"), timeout=60, trust_env=False).text
        return sum(int(float(count)) for count in _PASSING.findall(text))

    def _once(self, command: Sequence[str | Path], cwd: Path, env: Mapping[str, str]) -> str:
        try:
            done = subprocess.run(
                list(map(str, command)),
                cwd=cwd,
                env=dict(env),
                capture_output=True,
                text=True,
                timeout=CLIENT_SECONDS,
                stdin=subprocess.DEVNULL,  # so that no client asks anything
            )
        except subprocess.TimeoutExpired:
            return f"it took longer than {CLIENT_SECONDS} s"
        (cwd / "stdout").write_text(done.stdout)
        return (done.stdout + done.stderr)[-1500:] if done.returncode else ""

    def locked(
        self,
        form: str,
        project: str,
        folder: Path,
        lock: str,
        commands: Sequence[Sequence[str | Path]],
        env: Mapping[str, str],
    ) -> Locked:
        """Run these commands of one client; `lock` is what they leave, "stdout" for what the last said."""
        by = next(
            (part for part in Path(commands[-1][0]).parts[::-1] if part != "/" and (CLIENTS / part).is_dir()),
            Path(commands[-1][0]).name,
        )
        for command in commands:
            wrong = self.run(command, folder, env)
            if wrong:
                return Locked(form, project, folder / lock, by, wrong)
        made = (folder / lock).exists()
        return Locked(form, project, folder / lock, by, "" if made else f"it wrote no {lock}")
