"""The cargo leg of `make demo`: `cargo fetch` of a project with some 190 crates, those of all platforms."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from bench.harness.cargo_lock import manifest

PROJECT: tuple[tuple[str, ...], ...] = (
    ("ripgrep@14", "tokio@1 --features full", "axum@0.8", "reqwest@0.12"),
)


def fetch(requirements: Sequence[str], index: str, target: Path) -> None:
    """Lock and download; `target` then holds Cargo.lock and all crates.

    Through Orchard (`index` not "") the default source is replaced: the lock must be the one of the direct
    round, byte for byte. Raises `CalledProcessError`.
    """
    work = target.parent
    project, home = work / "project", work / "client-cache"
    shutil.rmtree(project, ignore_errors=True)
    for folder in (project, home, target):
        folder.mkdir()
    (project / "Cargo.toml").write_text(manifest(requirements))
    (project / "lib.rs").touch()
    own = Path(os.environ.get("CARGO_HOME") or Path.home() / ".cargo")
    if index:
        replaced = (
            f'[source.crates-io]\nreplace-with = "orchard"\n[registries.orchard]\nindex = "sparse+{index}"\n'
        )
        (home / "config.toml").write_text(replaced)
    elif (own / "config.toml").exists():
        shutil.copy(own / "config.toml", home / "config.toml")
    command = ["cargo", "fetch", "--quiet"]
    environment = {**os.environ, "CARGO_HOME": str(home)}
    subprocess.run(command, cwd=project, env=environment, check=True, capture_output=True, timeout=600)
    lock, direct = (project / "Cargo.lock").read_bytes(), work / "direct.lock"
    if not index:
        direct.write_bytes(lock)
    elif lock != direct.read_bytes():
        raise subprocess.CalledProcessError(1, command, b"", b"Cargo.lock is another than the direct one")
    (target / "Cargo.lock").write_bytes(lock)
    for path in home.glob("registry/cache/*/*.crate"):
        shutil.copyfile(path, target / path.name)
