"""Locks of uv, pip, poetry and pdm."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from bench.lock_inputs.locked import Locked, Through
from bench.lock_inputs.projects import PYTHON, PYTHON_ONE_PLATFORM
from tests.support.client_environments import CLIENTS

_UV = CLIENTS / "uv" / "bin" / "uv"
_NO_BUILD = "\n[tool.uv]\npackage = false\n[tool.pdm]\ndistribution = false\n"


def lock(through: Through, form: str, *, under: str = "") -> Iterator[Locked]:
    """A lock of each project; `under`: in a folder of another name than the format's."""
    if form == "pylock.toml":
        for project in PYTHON_ONE_PLATFORM:
            yield _by_pip(through, project)
    for project in PYTHON:
        folder = through.folder(under or form, project)
        yield _BY_FORM[form](through, form, project, folder)


def _write(folder: Path, project: str, more: str = "") -> None:
    about = f'[project]\nname = "bench-{project}"\nversion = "0.1.0"\nrequires-python = ">=3.11"\n'
    text = f"{about}dependencies = {json.dumps(list(PYTHON[project]))}\n{_NO_BUILD}{more}"
    (folder / "pyproject.toml").write_text(text)
    return folder


def uv_environment(through: Through) -> dict[str, str]:
    """uv with a cache of its own, and this Python."""
    return through.environment(
        UV_DEFAULT_INDEX=through.url("/pypi/simple/"),
        UV_PYTHON=sys.executable,
        UV_PYTHON_DOWNLOADS="never",
        UV_CACHE_DIR=str(through.work / "uv-cache"),
    )


def _by_uv(through: Through, form: str, project: str, folder: Path) -> Locked:
    _write(folder, project)
    commands: list[list[str | Path]] = [[_UV, "lock"]]
    if form != "uv.lock":
        commands += [[_UV, "export", "--frozen", "--no-emit-project", "--format", form, "-o", form]]
    return through.locked(form, project, folder, form, commands, uv_environment(through))


def _by_pip(through: Through, project: str) -> Locked:
    folder = through.folder("pylock.toml", project)
    python = CLIENTS / "pip-newest" / "bin" / "python"
    command: list[str | Path] = [python, "-m", "pip", "lock", *PYTHON_ONE_PLATFORM[project]]
    command += ["--index-url", through.url("/pypi/simple/"), "-o", "pylock.toml"]
    return through.locked("pylock.toml", project, folder, "pylock.toml", [command], through.environment())


def _by_poetry(through: Through, form: str, project: str, folder: Path) -> Locked:
    about = f'\n[tool.poetry]\nname = "bench-{project}"\nversion = "0.1.0"\npackage-mode = false\n'
    source = f'\n[[tool.poetry.source]]\nname = "orchard"\nurl = "{through.url("/pypi/simple/")}"\n'
    # Once more, for readers of poetry's own table.
    wanted = "".join(map(_poetry_line, PYTHON[project]))
    tables = f'{about}[tool.poetry.dependencies]\npython = ">=3.11"\n{wanted}{source}priority = "primary"\n'
    _write(folder, project, tables)
    command = [CLIENTS / "poetry" / "bin" / "poetry", "lock", "--no-interaction"]
    return through.locked(form, project, folder, form, [command], through.environment())


def _poetry_line(requirement: str) -> str:
    name, _, extra = requirement.rstrip("]").partition("[")
    return f"{name} = {{version = '*', extras = {[extra] if extra else []}}}\n"


def _by_pdm(through: Through, form: str, project: str, folder: Path) -> Locked:
    _write(folder, project)
    env = through.environment(
        PDM_PYPI_URL=through.url("/pypi/simple/"), PDM_CHECK_UPDATE="false", PDM_PYTHON=sys.executable
    )
    # Every second one with the addresses of files in place of their names.
    addresses = ["--static-urls"] if list(PYTHON).index(project) % 2 else []
    command = [CLIENTS / "pdm" / "bin" / "pdm", "lock", *addresses]
    return through.locked(form, project, folder, form, [command], env)


_BY_FORM = {
    "uv.lock": _by_uv,
    "pylock.toml": _by_uv,
    "requirements.txt": _by_uv,
    "poetry.lock": _by_poetry,
    "pdm.lock": _by_pdm,
}
FORMS = tuple(_BY_FORM)
