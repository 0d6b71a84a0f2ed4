"""Runs a service of docker-compose.yml out of its built image as an engine would, without one: the image's
root read-only in a mount namespace, its user, environment and command, the file's volumes and settings.

Names and ports of compose's networks become ports of loopback; everything else is taken as it stands.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.support.orchard import free_port

READY_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Image:
    """A built image, mounted. `config` is its own: Env, Cmd, User, WorkingDir, Healthcheck."""

    name: str
    root: Path
    config: dict[str, Any]

    @property
    def environment(self) -> dict[str, str]:
        return dict(each.split("=", 1) for each in self.config["Env"])


@contextmanager
def opened(name: str) -> Iterator[Image]:
    """An image of buildah's."""
    container = _buildah("from", "--pull-never", name)
    try:
        told = json.loads(_buildah("inspect", "--type", "image", name))
        yield Image(name, Path(_buildah("mount", container)), told["Docker"]["config"])
    finally:
        _buildah("rm", container)


def _buildah(*words: str) -> str:
    done = subprocess.run(["buildah", *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@dataclass(slots=True)
class Box:
    """One service. `service` is its part of the compose file, `settings` what differs here."""

    name: str
    image: Image
    service: Mapping[str, Any]
    settings: Mapping[str, str]
    volumes: Path  # the folder in which each named volume is one
    log: Path
    first: bool = False  # in a process namespace of its own, as its first process
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        with self.log.open("ab") as log:
            command = self._inside(self.service.get("command") or self.image.config["Cmd"])
            self.process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Another command in the same place, to its end; `words` none: the service's own."""
        command = self._inside(words or self.service.get("command") or self.image.config["Cmd"])
        return subprocess.run(command, capture_output=True, text=True, timeout=90)

    def health(self) -> int:
        """The exit code of the image's own check."""
        kind, *words = self.image.config["Healthcheck"]["Test"]
        assert kind == "CMD"
        return self.run(*words).returncode

    def wait_ready(self) -> None:
        assert self.process is not None
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{self.base}/health/ready", timeout=2, trust_env=False).status_code == 200:
                    return
            time.sleep(0.1)
        raise AssertionError(f"{self.name} did not become ready:\n{self.log.read_text()[-4000:]}")

    def stop(self) -> int:
        assert self.process is not None
        pid = self.process.pid
        if self.first:  # `unshare` waits outside for the one that is in there
            (pid,) = map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        os.kill(pid, signal.SIGTERM)
        return self.process.wait(45)

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def _environment(self) -> dict[str, str]:
        workers = self.image.environment["SERVICE"] in ("fetcher", "extractor")
        port = "ORCHARD_WORKER_PORT" if workers else "ORCHARD_PORT"
        here = {
            port: str(self.port),
            "ORCHARD_HOST": "127.0.0.1",
            "ORCHARD_WORKER_HOST": "127.0.0.1",
            "ORCHARD_WORKER_ADVERTISE": "127.0.0.1",
        }
        return self.image.environment | self.service["environment"] | dict(self.settings) | here

    def _inside(self, words: Any) -> list[str]:
        """A command line that becomes `words` in the image: one process, which gets the signals itself."""
        root = shlex.quote(str(self.image.root))
        lines = ["set -e", "mount --make-rprivate /", f"mount --bind {root} {root}"]
        if self.service.get("read_only"):
            lines.append(f"mount -o remount,bind,ro {root}")
        lines += [f"mount -t proc proc {root}/proc", f"mount --rbind /dev {root}/dev"]
        for each in self.service.get("tmpfs", []):
            path, _, options = each.partition(":")
            lines.append(f"mount -t tmpfs -o {options} tmpfs {root}{path}")
        for each in self.service.get("volumes", []):
            name, path, *how = each.split(":")
            source = self.volumes / name
            if not source.exists():  # an engine makes it as it is in the image
                source.mkdir()
                os.chown(source, *map(int, self.image.config["User"].split(":")))
            lines.append(f"mount --bind {shlex.quote(str(source))} {root}{path}")
            if how == ["ro"]:
                lines.append(f"mount -o remount,bind,ro {root}{path}")
        lines.append('exec "$@"')
        pairs = [f"{name}={value}" for name, value in self._environment().items()]
        apart = ["--pid", "--fork", "--kill-child"] if self.first else []
        return [
            "unshare", "--mount", *apart, "--", "sh", "-c", "\n".join(lines), "sh",
            "chroot", f"--userspec={self.image.config['User']}", str(self.image.root),
            "env", "-i", "-C", self.image.config["WorkingDir"], *pairs, *words,
        ]  # fmt: skip
