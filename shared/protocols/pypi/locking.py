"""PyPI's table of an ensure file: `[pypi] requirements = […]`, as PEP 508 writes them; and its lock as an
export.

That is a requirements.txt with hashes: `pip install --require-hashes -r` takes it, uv too. One environment,
so no markers; every project is pinned, so extras add nothing (pip documentation, "Hash-checking Mode").
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import msgspec

from shared.protocols.lock import Lock, LockedPackage
from shared.protocols.pypi.building import hook_requirements
from shared.protocols.roles.locks import Export, Locks, RootRequirement, Table


def requirements_txt(lock: Lock) -> bytes:
    """One pin for each project, by name, with the SHA256 of each of its files: of its chosen one, of all that
    a lock input names."""
    graph = lock.protocols["pypi"]
    lines = [f"# ensure {lock.key}"] + [f"# for {graph.environment}"] * bool(graph.environment)
    hashes: dict[tuple[str, str], list[str]] = {}
    for package in graph.packages:
        hashes.setdefault((package.name, package.version), []).append(f"--hash=sha256:{package.sha256}")
    for (name, version), each in sorted(hashes.items()):
        lines.append(" \\\n    ".join([f"{name}=={version}", *sorted(each)]))
    return ("\n".join(lines) + "\n").encode()


def build_constraints_txt(lock: Lock) -> bytes:
    """A pin for each project that source archives are built with: `pip install --build-constraint`, `uv pip
    install --build-constraints`. One file holds for all environments, so projects of which they have several
    versions are named in comments; without hashes, which pip asks for of all or none."""
    lines = [f"# what ensure {lock.key} is built with"]
    versions: dict[str, dict[str, set[str]]] = {}
    for build in lock.protocols["pypi"].builds:
        for package in build.packages:
            versions.setdefault(package.name, {}).setdefault(package.version, set()).update(build.builds)
    for name, found in sorted(versions.items()):
        if len(found) == 1:
            lines += [f"{name}=={version}" for version in found]
        else:
            each = (f"{version} for {', '.join(sorted(of))}" for version, of in sorted(found.items()))
            lines.append(f"# {name}: {'; '.join(each)}")
    return ("\n".join(lines) + "\n").encode()


def pylock_toml(lock: Lock, base_url: str) -> bytes:
    """PEP 751: a package for each version, with its files at the Orchard that serves them. Without markers:
    of the one environment, or whatever a lock input lists."""
    versions: dict[tuple[str, str], list[LockedPackage]] = {}
    for package in lock.protocols["pypi"].packages:
        versions.setdefault((package.name, package.version), []).append(package)
    lines = ['lock-version = "1.0"', 'created-by = "orchard"']
    for (name, version), files in sorted(versions.items()):
        lines += ["", "[[packages]]", f"name = {_text(name)}", f"version = {_text(version)}"]
        ordered = sorted(files, key=lambda each: each.filename)
        wheels = [_file(each, base_url) for each in ordered if each.filename.endswith(".whl")]
        sdists = [_file(each, base_url) for each in ordered if not each.filename.endswith(".whl")]
        lines += [f"sdist = {each}" for each in sdists[:1]]  # a version has one
        if wheels:
            lines += ["wheels = [", *(f"    {each}," for each in wheels), "]"]
    return ("\n".join(lines) + "\n").encode()


def _file(package: LockedPackage, base_url: str) -> str:
    hashes = f"hashes = {{ sha256 = {_text(package.sha256)} }}"
    where = f"name = {_text(package.filename)}, url = {_text(base_url + package.path)}"
    return f"{{ {where}, size = {package.size_bytes}, {hashes} }}"


def _text(value: str) -> str:
    return msgspec.json.encode(value).decode()  # a basic string of TOML is written as JSON's is


class PyPITable(Table, frozen=True):
    """`[pypi]`."""

    requirements: tuple[str, ...] = ()


class PyPILocks(Locks):
    """requirements.txt with hashes, pylock.toml, build-constraints.txt."""

    hook_requirements = staticmethod(hook_requirements)

    table: ClassVar[type[Table] | None] = PyPITable
    not_taken: ClassVar[Mapping[str, str]] = {
        "pyproject.toml": "its uv.lock, poetry.lock, pdm.lock or pylock.toml",
        "setup.py": "a requirements.txt with hashes, as `uv pip compile --generate-hashes` prints it",
        "setup.cfg": "a requirements.txt with hashes, as `uv pip compile --generate-hashes` prints it",
        "pipfile": "what `pipenv requirements --hash` prints, as requirements.txt",
        "pipfile.lock": "what `pipenv requirements --hash` prints, as requirements.txt",
    }
    exports: ClassVar[Mapping[str, Export]] = {
        "requirements.txt": Export(
            "text/plain; charset=utf-8", lambda lock, _: requirements_txt(lock), of_pins=True
        ),
        "pylock.toml": Export("application/toml", pylock_toml, of_pins=True),
        "build-constraints.txt": Export(
            "text/plain; charset=utf-8", lambda lock, _: build_constraints_txt(lock)
        ),
    }

    def roots(self, table: PyPITable) -> Iterator[RootRequirement]:
        for index, text in enumerate(table.requirements):
            yield ("requirements", index), text

    def shown(self, roots: Sequence[str], apart: Sequence[str], project: str) -> dict[str, Any]:
        return {"requirements": list(roots)}
