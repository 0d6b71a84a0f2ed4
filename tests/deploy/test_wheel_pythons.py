"""The wheel on each newer Python that is here, by each tool that people install commands with: no compiler is
needed, Orchard starts, and a page comes through it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from bench.first_install import KEPT
from tests.deploy.wheels import UV, build, checkout, run, up
from tests.support.builders import wheel_file
from tests.support.orchard import JSON, free_port
from tests.support.stores import ROOT
from tests.support.upstream import Upstream

INDEX = {name: value for name, value in os.environ.items() if name.upper().startswith(KEPT)}
"""What says where this machine's index is, and whom to believe."""
PIPX = ROOT / ".cache" / "clients" / "pipx" / "bin" / "pipx"


def _interpreter(version: str) -> str:
    """Where one is: on the path, uv's, or pyenv's, whose shims uv passes over; skips where there is none."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for asked in (version, *sorted(pyenv.glob(f"{version}.*"))):
        words = (UV, "python", "find", "--no-python-downloads", "--no-project", asked)
        found = subprocess.run(words, capture_output=True, text=True)
        if found.returncode == 0:
            return found.stdout.strip()
    pytest.skip(f"no Python {version} is here")


def _by_uv(python: str, wheel: Path, home: Path) -> Path:
    words = ("tool", "install", "--quiet", "--python", python, f"{wheel}[server]")
    places = {"UV_TOOL_DIR": str(home / "tools"), "UV_TOOL_BIN_DIR": str(home / "bin")}
    done = run(UV, *words, cwd=home, seconds=280, **INDEX, **places)
    assert done.returncode == 0, done.stdout + done.stderr
    return home / "bin"


def _by_pipx(python: str, wheel: Path, home: Path) -> Path:
    if not PIPX.exists():
        pytest.fail("pipx is not installed: run 'make client-tools'")
    words = ("install", "--python", python, f"orchard-proxy[server] @ {wheel.as_uri()}")
    places = {"PIPX_HOME": str(home / "pipx"), "PIPX_BIN_DIR": str(home / "bin")}
    done = run(PIPX, *words, cwd=home, seconds=280, **INDEX, **places)
    assert done.returncode == 0, done.stdout + done.stderr
    return home / "bin"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", checkout(tmp_path_factory.mktemp("clone")), tmp_path_factory.mktemp("wheel"))


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("version", "install"),
    [("3.12", _by_uv), ("3.13", _by_pipx), ("3.14", _by_uv)],
    ids=["3.12", "3.13", "3.14"],
)
def test_wheel__on_a_newer_python__starts_and_a_page_comes_through(
    version: str, install: Callable[[str, Path, Path], Path], wheel: Path, tmp_path: Path
) -> None:
    binaries = install(_interpreter(version), wheel, tmp_path)
    assert [path.name for path in binaries.iterdir()] == ["orchard"]
    port = free_port()
    with Upstream() as upstream:
        file = wheel_file("on-another-python", "1.0")
        upstream.add_project("on-another-python", {file.filename: file.content})
        settings = {"ORCHARD_PORT": str(port), "ORCHARD_PYPI_UPSTREAM": f"{upstream.url}/simple/"}
        with up(binaries, tmp_path, **settings), httpx.Client(trust_env=False, timeout=30) as client:
            url = f"http://127.0.0.1:{port}/pypi/simple/on-another-python/"
            page = client.get(url, headers={"accept": JSON})
            (listed,) = page.json()["files"]
            assert client.get(httpx.URL(url).join(listed["url"])).content == file.content
