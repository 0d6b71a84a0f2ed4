"""`[toy] toys = ["robot"]`, and a lock as lines "sha256 filename"."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from shared.protocols.lock import Lock
from shared.protocols.roles.locks import Export, Locks, RootRequirement, Table


class ToyTable(Table, frozen=True):
    toys: tuple[str, ...] = ()


def toys_txt(lock: Lock, base_url: str) -> bytes:
    packages = lock.protocols["toy"].packages
    return "".join(f"{each.sha256} {base_url}{each.path}\n" for each in packages).encode()


class ToyLocks(Locks):
    table: ClassVar[type[Table] | None] = ToyTable
    requirements_in: ClassVar[str] = "toys"
    exports: ClassVar[Mapping[str, Export]] = {"toys.txt": Export("text/plain", toys_txt)}

    def roots(self, table: ToyTable) -> Iterator[RootRequirement]:
        for index, text in enumerate(table.toys):
            yield ("toys", index), text

    def shown(self, roots: Sequence[str], apart: Sequence[str], project: str) -> dict[str, Any]:
        return {"toys": list(roots)}
