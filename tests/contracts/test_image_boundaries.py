"""Each image holds shared/, the command and one service: with its pins alone, every module imports."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SERVICES = ("gateway", "fetcher", "extractor")

_IMPORT_ALL = """
import importlib, pathlib, sys
names = sorted(".".join(path.with_suffix("").parts) for path in pathlib.Path(".").rglob("*.py"))
names = [name.removesuffix(".__init__") for name in names if not name.endswith("__main__")]
for name in names:
    importlib.import_module(name)
print(len(names))
"""


@pytest.mark.slow
@pytest.mark.parametrize("service", SERVICES)
def test_image__shared_and_one_service_with_its_pins__every_module_imports(
    service: str, tmp_path: Path
) -> None:
    uv = str(Path(sys.executable).parent / "uv")
    env = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))
    }
    tree = tmp_path / "tree"
    shutil.copytree(ROOT / "shared", tree / "shared", ignore=shutil.ignore_patterns("__pycache__"))
    (tree / "services").mkdir()
    shutil.copy(ROOT / "services" / "__init__.py", tree / "services")
    ignore = shutil.ignore_patterns("__pycache__", "launch.py")
    for name in ("cli", service):
        shutil.copytree(ROOT / "services" / name, tree / "services" / name, ignore=ignore)
    python = tmp_path / "venv" / "bin" / "python"
    _run([uv, "venv", "--quiet", "--python", sys.executable, str(tmp_path / "venv")], tmp_path, env)
    pins = ROOT / "services" / service / "requirements.txt"
    command = [uv, "pip", "install", "--quiet", "--require-hashes", "--no-deps", "--python", str(python)]
    _run([*command, "-r", str(pins)], tmp_path, env)
    done = _run([str(python), "-c", _IMPORT_ALL], tree, env)
    assert int(done.stdout) > 20


def _run(command: list[str], cwd: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stdout + done.stderr
    return done
