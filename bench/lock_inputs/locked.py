"""What all lockers share: a lock that a client made, and how clients are run."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

CLIENTS = Path(__file__).resolve().parents[2] / ".cache" / "clients"  # by `make client-tools`
CLIENT_SECONDS = 600


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

    def url(self, path: str) -> str:
        return self.base + path

    def environment(self, **extra: str) -> dict[str, str]:
        """Nothing of this machine's own settings."""
        home = self.work / "home"
        home.mkdir(parents=True, exist_ok=True)
        kept = {name: os.environ[name] for name in ("PATH", "JAVA_HOME") if name in os.environ}
        return {
            **kept,
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "PIP_CONFIG_FILE": os.devnull,
            "FAKEROOTKEY": "1",  # else yarn 1 as root writes the whole machine's configuration
            **extra,
        }

    def folder(self, form: str, project: str) -> Path:
        made = self.work / "projects" / form.replace(" ", "-") / project
        made.mkdir(parents=True)
        return made

    def run(self, command: Sequence[str | Path], cwd: Path, env: Mapping[str, str]) -> str:
        """What is wrong, "" for nothing."""
        try:
            done = subprocess.run(
                list(map(str, command)),
                cwd=cwd,
                env=dict(env),
                capture_output=True,
                text=True,
                timeout=CLIENT_SECONDS,
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
