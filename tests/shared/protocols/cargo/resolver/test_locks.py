"""What is locked, beside cargo: answers recorded from it, and where it is installed cargo itself.

Recorded by `python -m tests.shared.protocols.cargo.resolver.record`.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from bench.harness.cargo_lock import by_cargo, by_resolver, manifest, serve
from bench.resolution_oracle_cargo_random import Made
from tests.shared.protocols.cargo.resolver.cases import CASES
from tests.shared.protocols.cargo.resolver.resolution_support import files

LOCKS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "golden" / "locks.json").read_bytes())
cargo_is_there = pytest.mark.skipif(shutil.which("cargo") is None, reason="cargo is not installed")


@pytest.mark.parametrize("name", CASES)
def test_lock__is_the_one_recorded_of_cargo(name: str) -> None:
    case = CASES[name]
    lock, why = by_resolver(files(case.table).get, case.requirements, rust=case.rust)
    assert (None if lock is None else sorted(lock)) == LOCKS["cases"][name], why


@pytest.mark.parametrize("made", LOCKS["registries"], ids=lambda made: made["seed"])
def test_lock_of_a_made_up_registry__is_the_one_recorded_of_cargo(made: dict[str, Any]) -> None:
    index = {
        project: "".join(f"{json.dumps(e)}\n" for e in lines).encode()
        for project, lines in made["index"].items()
    }
    lock, why = by_resolver(index.get, made["requirements"], rust=made["rust"])
    assert (None if lock is None else sorted(lock)) == made["lock"], why


@cargo_is_there
def test_locks__are_still_cargo_s(tmp_path: Path) -> None:
    index: dict[str, bytes] = {}
    with serve(index.get) as address:
        for name, case in CASES.items():
            index.clear()
            index.update(files(case.table))
            text = manifest(case.requirements, rust=case.rust)
            lock, why = by_cargo(tmp_path / "project", tmp_path / "home", text, index_url=address)
            assert (None if lock is None else sorted(lock)) == LOCKS["cases"][name], (name, why)


@cargo_is_there
def test_lock_of_registries_made_at_random__is_cargo_s(tmp_path: Path) -> None:
    index: dict[str, bytes] = {}
    with serve(index.get) as address:
        for seed in range(70_000, 70_030):
            made = Made(seed)
            index.clear()
            index.update(made.files)
            text = manifest(made.requirements, rust=made.rust)
            theirs, said = by_cargo(tmp_path / "project", tmp_path / "home", text, index_url=address)
            ours, why = by_resolver(index.get, made.requirements, rust=made.rust)
            assert ours == theirs, (seed, said, why)
