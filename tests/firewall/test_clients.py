"""What real clients end with: the newest that is old enough, also below another package; and the reason,
where they show one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.firewall.shelves import OLD, YOUNG, NewShelf, Npm, PyPI
from tests.support.builders import build_wheel
from tests.support.npm_builders import integrity

ROOT = Path(sys.executable).parent
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-cache-dir"]
UV = [str(ROOT / "uv"), "--no-cache", "--no-config"]


def run(command: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "PIP_CONFIG_FILE": os.devnull, "LANG": "C.UTF-8"}
    return subprocess.run(list(command), cwd=folder, env=env, capture_output=True, text=True, timeout=120)


def upper(it: PyPI, shelf: NewShelf) -> PyPI:
    """A package that needs any version of `it`."""
    other = shelf("pypi")
    assert isinstance(other, PyPI)
    other.data = {"1.0.0": build_wheel(other.name, "1.0.0", requires=[f"{it.name}>=1"])}
    other.put({"1.0.0": OLD})
    return other


@pytest.fixture
def young(shelf: NewShelf) -> PyPI:
    it = shelf("pypi")
    assert isinstance(it, PyPI)
    it.put({"1.0.0": OLD, "2.0.0": YOUNG, "3.0.0rc1": YOUNG})
    return it


def test_pip__takes_the_older_one_below_another_package_too(
    young: PyPI, shelf: NewShelf, tmp_path: Path
) -> None:
    index = ["--index-url", young.orchard.url("/pypi/simple/")]
    for wanted in (young.name, upper(young, shelf).name, f"{young.name}>=0.dev0"):
        done = run([*PIP, "download", "--no-binary", ":none:", "-d", str(tmp_path), *index, wanted], tmp_path)
        assert done.returncode == 0, done.stderr
    found = {each.name for each in tmp_path.glob("*.whl") if each.name.startswith(young.filename("")[:8])}
    assert young.filename("1.0.0") in found
    assert not found & {young.filename("2.0.0"), young.filename("3.0.0rc1")}


def test_pip__by_the_version_or_the_address__gets_nothing(young: PyPI, tmp_path: Path) -> None:
    index = ["--index-url", young.orchard.url("/pypi/simple/")]
    for wanted in (f"{young.name}==2.0.0", young.orchard.url(young.file("2.0.0"))):
        done = run([*PIP, "download", "--no-deps", "-d", str(tmp_path), *index, wanted], tmp_path)
        assert done.returncode != 0, done.stdout
    assert not list(tmp_path.glob("*.whl"))
    assert young.asked("2.0.0") == 0


def test_uv__takes_the_older_one_and_shows_the_reason_for_an_address(
    young: PyPI, shelf: NewShelf, tmp_path: Path
) -> None:
    index = ["--default-index", young.orchard.url("/pypi/simple/")]
    target = ["--target", str(tmp_path / "site"), "--python", sys.executable]
    done = run([*UV, "pip", "install", *target, *index, upper(young, shelf).name], tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"{young.name}==1.0.0" in done.stderr
    done = run([*UV, "pip", "install", *target, young.orchard.url(young.file("2.0.0"))], tmp_path)
    assert done.returncode != 0 and "403" in done.stderr
    assert young.asked("2.0.0") == 0


def test_npm__takes_the_older_one_and_shows_the_reason_for_a_locked_one(
    shelf: NewShelf, tmp_path: Path
) -> None:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("no npm here")
    it = shelf("npm")
    assert isinstance(it, Npm)
    it.put({"1.0.0": OLD, "2.0.0": YOUNG})
    registry = [f"--registry={it.orchard.url('/npm/')}", "--no-audit", "--no-fund", "--fetch-retries=0"]
    (tmp_path / "package.json").write_text(json.dumps({"name": "x", "version": "1.0.0"}))
    done = run([npm, "install", *registry, it.name], tmp_path)
    assert done.returncode == 0, done.stderr
    installed = tmp_path / "node_modules" / it.name / "package.json"
    assert json.loads(installed.read_text())["version"] == "1.0.0"

    locked = tmp_path / "locked"
    locked.mkdir()
    about = {"name": "x", "version": "1.0.0", "dependencies": {it.name: "2.0.0"}}
    (locked / "package.json").write_text(json.dumps(about))
    resolved = {
        "version": "2.0.0",
        "resolved": it.orchard.url(it.file("2.0.0")),
        "integrity": integrity(it.data["2.0.0"]),
    }
    packages = {"": about, f"node_modules/{it.name}": resolved}
    lock = {"name": "x", "version": "1.0.0", "lockfileVersion": 3, "requires": True, "packages": packages}
    (locked / "package-lock.json").write_text(json.dumps(lock))
    done = run([npm, "ci", *registry], locked)
    assert done.returncode != 0 and "held back" in done.stderr, done.stderr
    assert it.asked("2.0.0") == 0
