"""Go's implementation of logs (x/mod/sumdb) reads and proves ours: an oracle from outside.

The module's name begins with the host of a registry, which no file of ours names: `go.example` stands for it.
"""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from shared.tlog.trees import leaf_hash, tree_root
from tests.shared.tlog.logs import SIGNER, mirror_of

SOURCE = Path(__file__).parent / "go"
HOST = ".".join(("golang", "org"))
ENTRIES = [b"entry %d" % number for number in range(70_000)]  # tiles of three levels


@pytest.fixture(scope="module")
def tlogcheck(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Go program. Skips where there is no Go, or its module cannot be had."""
    go = shutil.which("go")
    if go is None:
        pytest.skip("there is no Go here")
    folder = tmp_path_factory.mktemp("go")
    for path in SOURCE.glob("*.txt"):
        (folder / path.stem).write_text(path.read_text().replace("go.example", HOST))
    environment = {**os.environ, "GOTOOLCHAIN": "local"}
    had = subprocess.run(
        [go, "mod", "download"], cwd=folder, env=environment, capture_output=True, timeout=120
    )
    if had.returncode:
        pytest.skip("the module registry of Go cannot be reached")
    program = folder / "tlogcheck"
    subprocess.run(
        [go, "build", "-o", str(program), "."], cwd=folder, env=environment, check=True, timeout=300
    )
    return program


def put(folder: Path, files: dict[str, bytes]) -> None:
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)


def proves(program: Path, folder: Path, old: int) -> str:
    root = base64.b64encode(tree_root([leaf_hash(each) for each in ENTRIES[:old]])).decode()
    arguments = [str(program), str(folder), str(SIGNER.key), str(old), root]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=120)
    return done.stdout + done.stderr


@pytest.mark.parametrize("size", [1, 256, 300, 70_000])
def test_go_finds_the_log_whole_and_consistent(tlogcheck: Path, tmp_path: Path, size: int) -> None:
    put(tmp_path, mirror_of(ENTRIES[:size]))
    assert proves(tlogcheck, tmp_path, max(1, size * 2 // 3)).startswith(f"proven {size} ")


def test_go_finds_what_we_break(tlogcheck: Path, tmp_path: Path) -> None:
    files = mirror_of(ENTRIES[:300])
    for path in ("checkpoint", "tile/0/000", "tile/entries/000"):
        data = files[path]
        put(tmp_path, {**files, path: data[:5] + bytes([data[5] ^ 1]) + data[6:]})
        assert "not proven" in proves(tlogcheck, tmp_path, 200)
