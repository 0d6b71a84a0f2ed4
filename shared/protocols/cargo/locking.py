"""Cargo's table of an ensure file: `[cargo] requirements = […]`, as `cargo add` takes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from shared.protocols.cargo.exports import cargo_config, cargo_lock, cargo_toml
from shared.protocols.roles.locks import Export, Locks, RootRequirement, Table


class CargoTable(Table, frozen=True):
    """`[cargo]`."""

    requirements: tuple[str, ...] = ()


class CargoLocks(Locks):
    """Cargo.toml of a package with these dependencies, and its Cargo.lock."""

    table: ClassVar[type[Table] | None] = CargoTable
    not_taken: ClassVar[Mapping[str, str]] = {
        "cargo.toml": "the Cargo.lock that `cargo generate-lockfile` makes of it"
    }
    needs_all: ClassVar[bool] = True
    exports: ClassVar[Mapping[str, Export]] = {
        "Cargo.toml": Export("application/toml", cargo_toml),
        "Cargo.lock": Export("application/toml", cargo_lock),
        "cargo-config.toml": Export("application/toml", cargo_config, of_pins=True),
    }

    def roots(self, table: CargoTable) -> Iterator[RootRequirement]:
        for index, text in enumerate(table.requirements):
            yield ("requirements", index), text

    def shown(self, roots: Sequence[str], apart: Sequence[str], project: str) -> dict[str, Any]:
        return {"requirements": list(roots)}
