"""Locks of npm, pnpm and yarn, and npm's bills of materials."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from bench.lock_inputs.locked import Locked, Through
from bench.lock_inputs.projects import NODE
from tests.support.client_environments import CLIENTS, of_node

_NPM = CLIENTS / "npm-10" / "node_modules" / ".bin" / "npm"
_NEWER_NPM = CLIENTS / "npm-11" / "node_modules" / ".bin" / "npm"
_OLDER_PNPM = "pnpm@8"
"""The last whose locks are of version 6; it is installed by npm, through the Orchard."""

FORMS = (
    "package-lock.json 1",
    "package-lock.json 2",
    "package-lock.json 3",
    "pnpm-lock.yaml 6",
    "pnpm-lock.yaml 9",
    "yarn.lock 1",
    "yarn.lock 4",
)


def environment(through: Through) -> dict[str, str]:
    return through.environment(YARN_ENABLE_IMMUTABLE_INSTALLS="false", **of_node(through.url("/npm/")))


def lock(through: Through, form: str) -> Iterator[Locked]:
    """A lock of each project."""
    commands = _commands(through, form)
    name = form.partition(" ")[0]
    for number, project in enumerate(NODE):
        folder = _project(through, form, project)
        command = commands[number % len(commands)]
        yield through.locked(form, project, folder, name, [command], environment(through))


def bills(through: Through, form: str) -> Iterator[Locked]:
    """npm's own, of a package-lock.json."""
    for project in NODE:
        folder = _project(through, f"npm-{form}", project)
        commands: list[list[str | Path]] = [
            [_NEWER_NPM, "install", "--package-lock-only", "--ignore-scripts"],
            [_NEWER_NPM, "sbom", "--package-lock-only", "--sbom-format", form.lower()],
        ]
        yield through.locked(form, project, folder, "stdout", commands, environment(through))


def _project(through: Through, form: str, project: str) -> Path:
    folder = through.folder(form, project)
    about = {"name": f"bench-{project}", "version": "1.0.0", "private": True, "dependencies": NODE[project]}
    (folder / "package.json").write_text(json.dumps(about))
    (folder / "yarn.lock").touch()  # what makes a folder a project of its own for yarn 4
    return folder


def _commands(through: Through, form: str) -> list[list[str | Path]]:
    """What makes the lock; projects take turns where there are several."""
    name, _, version = form.partition(" ")
    if name == "package-lock.json":
        words = ["install", "--package-lock-only", "--ignore-scripts", f"--lockfile-version={version}"]
        return [[_NPM, *words]]
    if name == "yarn.lock":
        yarn = CLIENTS / f"yarn-{version}" / "node_modules" / ".bin" / "yarn"
        words = ["--mode=update-lockfile"] if version == "4" else ["--ignore-scripts", "--non-interactive"]
        return [[yarn, "install", *words]]
    words = ["install", "--lockfile-only", "--ignore-scripts"]
    if version == "6":
        return [[_older_pnpm(through), *words]]
    (newest,) = (CLIENTS / "pnpm-12" / "node_modules").glob("@pnpm/exe.*/pnpm")
    return [[CLIENTS / "pnpm-10" / "node_modules" / ".bin" / "pnpm", *words], [newest, *words]]


def _older_pnpm(through: Through) -> Path:
    folder = through.folder("tools", "pnpm-8")
    words = [_NPM, "install", "--prefix", folder, "--ignore-scripts", "--no-save", _OLDER_PNPM]
    wrong = through.run(words, folder, environment(through))
    if wrong:
        raise RuntimeError(f"{_OLDER_PNPM}: {wrong}")
    return folder / "node_modules" / ".bin" / "pnpm"
