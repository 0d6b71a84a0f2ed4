"""The wheel as the tests build it from what a clone holds, and an Orchard out of it."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.orchard import wait_until
from tests.support.stores import ROOT

UV = Path(sys.executable).parent / "uv"

FILES = (
    "*.*",
    "LICENSE",
    ".gitignore",
    "docs/*.1",
    "docs/*.md",
    "shared/**/*",
    "services/**/*",
    "deploy/wheel/**/*",
)


def files() -> list[str]:
    """What a clone holds of these, which is all that a build may need."""
    found = {path for pattern in FILES for path in ROOT.glob(pattern) if path.is_file()}
    return [path.relative_to(ROOT).as_posix() for path in found if "__pycache__" not in path.parts]


def run(
    *command: str | Path, cwd: Path, seconds: float = 110, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(each) for each in command],
        cwd=cwd,
        env={"PATH": "/usr/bin:/bin", "HOME": str(cwd), "LANG": "C.UTF-8", **environment},
        capture_output=True,
        text=True,
        timeout=seconds,
    )


def build(target: str, cwd: Path, out: Path) -> Path:
    done = run(sys.executable, "-m", "hatchling", "build", "-t", target, "-d", out, cwd=cwd)
    assert done.returncode == 0, done.stderr
    (made,) = out.iterdir()
    return made


def checkout(folder: Path) -> Path:
    """What a clone holds, and nothing of what this one has beside it."""
    for name in files():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, place)
    return folder


@contextmanager
def up(binaries: Path, cwd: Path, **environment: str) -> Iterator[None]:
    """`orchard up`, until it is ready; stopped at the end as by Ctrl-C."""
    log = cwd / "said"
    with log.open("w") as said:
        process = subprocess.Popen(
            [str(binaries / "orchard"), "up"],
            cwd=cwd,
            env={"PATH": "/usr/bin:/bin", "HOME": str(cwd), "LANG": "C.UTF-8", **environment},
            stdout=said,
            stderr=said,
        )

    def ready() -> bool:
        assert process.poll() is None, log.read_text()
        return "Orchard is ready" in log.read_text()

    try:
        wait_until(ready, seconds=60, what="the start")
        yield
    finally:
        process.send_signal(signal.SIGINT)
        code = process.wait(30)
    assert code == 0, log.read_text()
