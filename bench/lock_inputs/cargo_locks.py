"""Locks of cargo."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from bench.lock_inputs.locked import Locked, Through
from bench.lock_inputs.projects import CARGO

FORMS = ("Cargo.lock",)


def lock(through: Through, form: str) -> Iterator[Locked]:
    """A lock of each project."""
    home = through.work / "cargo-home"
    home.mkdir()
    (home / "config.toml").write_text(
        '[source.crates-io]\nreplace-with = "orchard"\n'
        f'[registries.orchard]\nindex = "sparse+{through.url("/cargo/")}"\n'
    )
    env = through.environment(CARGO_HOME=str(home))
    env["HOME"] = os.environ.get("HOME", str(Path.home()))  # rustup keeps its toolchains there
    for project, wanted in CARGO.items():
        folder = through.folder(form, project)
        lines = ["[package]", f'name = "bench-{project}"', 'version = "0.1.0"', 'edition = "2021"']
        lines += ["[lib]", 'path = "lib.rs"', "[dependencies]"]
        lines += [f"{name} = {told}" for name, told in wanted.items()]
        (folder / "Cargo.toml").write_text("\n".join(lines) + "\n")
        (folder / "lib.rs").touch()
        yield through.locked(form, project, folder, form, [["cargo", "generate-lockfile", "--quiet"]], env)
