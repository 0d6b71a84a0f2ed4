"""cargo as the tests run it: a home of its own, a small tree of crates, and what a lock file names."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.cargo_builders import Registry

OLDEST = (1, 85)

TREE = {
    "app-lib": ("1.1.0", ["leaf ^2", "Mixed_Case ^1"]),
    "leaf": ("2.0.0", []),
    "Mixed_Case": ("1.0.1+meta", []),
}
"""What `demo` needs: each crate's chosen version and its dependencies."""

LOCKED = sorted(f"{name} {version}" for name, (version, _) in TREE.items())


def needs_cargo() -> str:
    """The command. Skips the test where there is none that is new enough."""
    cargo = shutil.which("cargo")
    if cargo is None:
        pytest.skip("cargo is not installed: it is not tried out")
    told = subprocess.run([cargo, "--version"], capture_output=True, text=True).stdout
    found = re.match(r"cargo (\d+)\.(\d+)", told)
    if found is None or (int(found[1]), int(found[2])) < OLDEST:
        pytest.skip(f"{told.strip()} is older than {OLDEST[0]}.{OLDEST[1]}: it is not tried out")
    return cargo


def publish_tree(registry: Registry) -> None:
    """`TREE`, and older versions of it."""
    registry.add("leaf", "1.0.0")
    registry.add("app-lib", "1.0.0", ["leaf ^1"])
    for name, (version, needs) in TREE.items():
        registry.add(name, version, needs)


class Cargo:
    """cargo with a project and a home below a folder; `url` is the mount of an Orchard."""

    def __init__(self, folder: Path, url: str) -> None:
        self.command = needs_cargo()
        self.home = folder / "cargo-home"
        self.project = folder / "demo"
        self.url = url
        self.target = folder / "target"
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", str(folder)),  # rustup keeps its toolchains there
            "CARGO_HOME": str(self.home),
            "CARGO_TERM_COLOR": "never",
            "CARGO_TARGET_DIR": str(self.target),
            "CARGO_NET_RETRY": "1",
        }
        for name in ("RUSTUP_HOME", "RUSTUP_TOOLCHAIN"):
            if name in os.environ:
                self.environment[name] = os.environ[name]
        self.forget()

    def forget(self) -> None:
        """An empty home but for what it takes to be configured."""
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir(parents=True)
        self.configure(replaced(self.url))

    def configure(self, text: str) -> None:
        (self.home / "config.toml").write_text(text)

    def write(self, dependencies: str, *, main: str = "") -> None:
        """The project: a package with these dependencies."""
        (self.project / "src").mkdir(parents=True, exist_ok=True)
        about = '[package]\nname = "demo"\nversion = "0.1.0"\nedition = "2021"\n'
        (self.project / "Cargo.toml").write_text(f"{about}[dependencies]\n{dependencies}\n")
        (self.project / "src" / "main.rs").write_text(main or "fn main() {}\n")

    def try_to(self, *words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.command, *words],
            cwd=cwd or self.project,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=110,
        )

    def run(self, *words: str, cwd: Path | None = None) -> str:
        """What it said. Fails the test if it fails."""
        done = self.try_to(*words, cwd=cwd)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    @property
    def lock(self) -> str:
        return (self.project / "Cargo.lock").read_text()

    def locked(self) -> list[str]:
        """`name version` of what the lock holds beside the project."""
        packages = tomllib.loads(self.lock)["package"]
        return sorted(f"{each['name']} {each['version']}" for each in packages if each["name"] != "demo")

    def crates(self) -> list[str]:
        """The files that it has downloaded."""
        return sorted(path.name for path in self.home.glob("registry/cache/*/*.crate"))


def replaced(url: str) -> str:
    """A configuration in which the index at an address stands in for the default one."""
    return f'[source.crates-io]\nreplace-with = "orchard"\n[registries.orchard]\nindex = "sparse+{url}"\n'


def names(lock: str) -> Sequence[str]:
    """The registries that a lock names."""
    return sorted(set(re.findall(r'^source = "(.*)"$', lock, re.MULTILINE)))
