"""From nothing to the first install, as a new user: `python -m bench.first_install [--python PYTHON …]`.

By each way (the wheel by uvx, by pipx, by pip, `make run` in a clone), with an empty home and empty caches,
from this machine's real index: seconds until Orchard is ready, of those the installer's, and seconds of the
first `pip install flask` through it.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.harness.processes import free_port

ROOT = Path(__file__).resolve().parents[1]
UV = Path(sys.executable).parent / "uv"
PIPX = ROOT / ".cache" / "clients" / "pipx" / "bin" / "pipx"  # by `make client-tools`
KEPT = ("PIP_", "SSL_", "UV_INDEX", "UV_DEFAULT_INDEX", "REQUESTS_CA", "HTTP", "NO_PROXY", "LANG")
"""What says where this machine's index is, and whom to believe."""
START_SECONDS = 600.0


def main() -> int:
    """Print a line for each way and Python."""
    parser = argparse.ArgumentParser(prog="python -m bench.first_install", description=__doc__)
    parser.add_argument(
        "--python", nargs="+", default=[sys.executable], metavar="PYTHON", help="interpreters"
    )
    options = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        wheel = _wheel(place)
        for python in options.python:
            version = _said([python, "-V"], place, {}).strip()
            for way in (_uvx, _pipx, _pip, _make):
                home = place / "home"
                home.mkdir()
                _report(
                    f"{version}, {way.__name__.strip('_')}", *_tried(way(python, wheel, home), python, home)
                )
                shutil.rmtree(home, ignore_errors=True)
    return 0


def _uvx(python: str, wheel: Path, home: Path) -> list[Sequence[str]]:
    return [[str(UV), "tool", "run", "--python", python, "--from", f"{wheel}[server]", "orchard", "up"]]


def _pipx(python: str, wheel: Path, home: Path) -> list[Sequence[str]]:
    """pipx itself is there before: it is how such a user installs commands."""
    places = [f"PIPX_HOME={home / 'pipx'}", f"PIPX_BIN_DIR={home / 'bin'}"]
    wanted = f"orchard-proxy[server] @ {wheel.as_uri()}"
    return [
        ["env", *places, str(PIPX), "install", "--quiet", "--python", python, wanted],
        [str(home / "bin" / "orchard"), "up"],
    ]


def _pip(python: str, wheel: Path, home: Path) -> list[Sequence[str]]:
    binaries = home / "venv" / "bin"
    return [
        [python, "-m", "venv", str(home / "venv")],
        [str(binaries / "pip"), "install", "--quiet", f"{wheel}[server]"],
        [str(binaries / "orchard"), "up"],
    ]


def _make(python: str, wheel: Path, home: Path) -> list[Sequence[str]]:
    clone = home / "clone"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    return [["make", "--no-print-directory", "-C", str(clone), "run", f"PYTHON={python}"]]


def _tried(commands: list[Sequence[str]], python: str, home: Path) -> tuple[float, float, float]:
    """Seconds until it is ready, of those the installer's, and seconds of the first install through it."""
    port = free_port()
    env = _environment(home) | {"ORCHARD_PORT": str(port)}
    client = home / "client"
    _said([python, "-m", "venv", str(client)], home, env)
    began = time.monotonic()
    *before, last = commands
    for command in before:
        _said(command, home, env)
    with _running(last, home, env) as starting:
        ready = time.monotonic()
        index = f"http://127.0.0.1:{port}/pypi/simple/"
        words = [
            str(client / "bin" / "pip"),
            "install",
            "--quiet",
            "--no-cache-dir",
            "--index-url",
            index,
            "flask",
        ]
        _said(words, home, env | {"PIP_CONFIG_FILE": os.devnull})
        return ready - began, starting - began, time.monotonic() - ready


@contextmanager
def _running(command: Sequence[str], home: Path, env: dict[str, str]) -> Iterator[float]:
    """Gives, once Orchard is ready, when it had begun to start."""
    log = home / "said"
    with log.open("w") as said:
        process = subprocess.Popen(
            command, cwd=home, env=env, stdout=said, stderr=said, start_new_session=True
        )
    starting = 0.0
    try:
        deadline = time.monotonic() + START_SECONDS
        while "Orchard is ready" not in (text := log.read_text()):
            if not starting and "Starting Orchard" in text:
                starting = time.monotonic()
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"it did not start:\n{text[-3000:]}")
            time.sleep(0.05)
        yield starting
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.wait(60)


def _environment(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name.upper().startswith(KEPT)}
    return kept | {
        "HOME": str(home),
        "PATH": "/usr/bin:/bin",
        "UV_CACHE_DIR": str(home / "uv"),
        "PIP_NO_CACHE_DIR": "1",
    }


def _wheel(folder: Path) -> Path:
    _said(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)], ROOT, dict(os.environ)
    )
    (made,) = folder.glob("*.whl")
    return made


def _said(command: Sequence[str], cwd: Path, env: dict[str, str]) -> str:
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command[:4])} failed:\n{done.stdout}{done.stderr}"[-3000:])
    return done.stdout + done.stderr


def _report(way: str, ready: float, installer: float, first: float) -> None:
    name = re.sub(r"\s+", " ", way)
    print(
        f"{name:<24} ready {ready:5.1f} s (installing {installer:.1f}), then pip install {first:.1f} s",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
