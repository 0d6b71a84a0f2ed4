"""PyPI's table of an ensure file: `[pypi] requirements = […]`, as PEP 508 writes them; and its lock as an
export.

That is a requirements.txt with hashes: `pip install --require-hashes -r` takes it, uv too. One environment,
so no markers; every project is pinned, so extras add nothing (pip documentation, "Hash-checking Mode").
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from shared.protocols.lock import Lock
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


class PyPITable(Table, frozen=True):
    """`[pypi]`."""

    requirements: tuple[str, ...] = ()


class PyPILocks(Locks):
    """requirements.txt with hashes."""

    table: ClassVar[type[Table] | None] = PyPITable
    exports: ClassVar[Mapping[str, Export]] = {
        "requirements.txt": Export(
            "text/plain; charset=utf-8", lambda lock, _: requirements_txt(lock), of_pins=True
        ),
    }

    def roots(self, table: PyPITable) -> Iterator[RootRequirement]:
        for index, text in enumerate(table.requirements):
            yield ("requirements", index), text

    def shown(self, roots: Sequence[str], apart: Sequence[str]) -> dict[str, Any]:
        return {"requirements": list(roots)}
