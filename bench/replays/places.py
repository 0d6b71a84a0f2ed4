"""Where projects are built: an Orchard before this machine's registries, and one in a network of nothing."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from bench.harness import processes
from bench.harness.orchard import environment
from shared.protocols import PROTOCOLS
from shared.settings import upstream_variable

ROOT = Path(__file__).resolve().parents[2]
MOST_SECONDS = 900.0
_UP = 'ip link set lo up && exec "$@"'
LOOPBACK_ALONE = ("unshare", "--user", "--map-root-user", "--net", "sh", "-c", _UP, "sh")
"""A network namespace that has a loopback and nothing else (unshare(1)); what follows runs in it."""


def namespaces() -> bool:
    """Whether such a network can be made here, and entered."""
    if not all(map(shutil.which, ("unshare", "nsenter", "ip"))):
        return False
    return subprocess.run([*LOOPBACK_ALONE, "true"], capture_output=True).returncode == 0


class Place(msgspec.Struct, frozen=True):
    """A running Orchard; `enter` are the words before a command that is to run beside it."""

    port: int
    data: Path
    pid: int = 0
    enter: Sequence[str] = ()

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def run(
        self, *words: str, cwd: Path = ROOT, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """A command, with what it said."""
        inherited = client_environment(cwd / "home") if env is None else env
        told = {"ORCHARD_DATA_DIR": str(self.data), "ORCHARD_URL": self.base, "PYTHONPATH": str(ROOT)}
        return subprocess.run(
            [*self.enter, *words],
            cwd=cwd,
            env={**inherited, **told},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=MOST_SECONDS,
        )

    def orchard(self, *words: str) -> str:
        """`orchard`, and what it said. Raises `RuntimeError` if it fails."""
        done = self.run(sys.executable, "-m", "services.cli", *words, env=os.environ)
        if done.returncode:
            raise RuntimeError(f"orchard {words[0]}: {done.stdout}{done.stderr}"[-3000:])
        return done.stdout


def client_environment(home: Path) -> dict[str, str]:
    """Nothing that a client would inherit but a path and an empty home."""
    kept = {name: os.environ[name] for name in ("PATH", "JAVA_HOME", "RUSTUP_HOME") if name in os.environ}
    rust = Path(os.environ.get("RUSTUP_HOME") or Path.home() / ".rustup")
    if rust.is_dir():
        kept["RUSTUP_HOME"] = str(rust)
    kept["SOURCE_DATE_EPOCH"] = "1767225600"  # else what is built here has the time in it
    return kept | {"HOME": str(home), "LANG": "C.UTF-8", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "CI": "true"}


@contextlib.contextmanager
def recording(folder: Path) -> Iterator[Place]:
    """An Orchard before the registries of this machine."""
    port = processes.free_port()
    with _started(Place(port, folder / "data")) as place:
        yield place


class CutOff(msgspec.Struct, frozen=True):
    """An Orchard in a network of nothing, whose upstreams are an address that counts and refuses."""

    place: Place
    counted: Path

    def connections(self) -> int:
        """Connections to an upstream so far, and attempts at any address outside, a name server's too."""
        snmp = self.place.run("cat", "/proc/self/net/snmp", "/proc/self/net/snmp6").stdout
        names, values = (line.split() for line in snmp.splitlines() if line.startswith("Ip:"))
        six = next(line.split() for line in snmp.splitlines() if line.startswith("Ip6OutNoRoutes"))
        return self.counted.stat().st_size + int(values[names.index("OutNoRoutes")]) + int(six[1])


@contextlib.contextmanager
def cut_off(folder: Path, port: int) -> Iterator[CutOff]:
    """On an empty folder, at the port that the other has outside: locks then name the same address."""
    counted, ready = folder / "connections", folder / "ready"
    upstream = f"http://127.0.0.1:{port - 1}/"
    refusing = ["-m", "bench.replays.refusing", str(port - 1), str(counted), str(ready)]
    log, env = folder / "refusing.log", {**os.environ, "PYTHONPATH": str(ROOT)}
    words = [*LOOPBACK_ALONE, sys.executable, *refusing]
    with processes.running(words, log=log, core=None, env=env) as process:
        deadline = time.monotonic() + 30
        while not ready.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(log.read_text())
            time.sleep(0.05)
        enter = ("nsenter", "--preserve-credentials", "--user", "--net", f"--target={process.pid}")
        place = Place(port, folder / "data", enter=enter)
        upstreams = {upstream_variable(each.name): upstream for each in PROTOCOLS}
        with _started(place, **upstreams) as started:
            yield CutOff(started, counted)


@contextlib.contextmanager
def _started(place: Place, **variables: str) -> Iterator[Place]:
    env = environment(port=place.port, data_dir=place.data) | variables
    log = place.data.parent / "orchard.log"
    words = [*place.enter, sys.executable, "-m", "services.standalone"]
    with processes.running(words, log=log, core=None, env=env) as process:
        deadline = time.monotonic() + 120
        while "Orchard is ready" not in (text := log.read_text(errors="replace")):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"it did not start:\n{text[-3000:]}")
            time.sleep(0.1)
        yield msgspec.structs.replace(place, pid=process.pid)
