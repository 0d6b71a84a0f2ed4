"""`python -m tests.shared.protocols.cargo.resolver.record`: golden/locks.json anew, from the cargo here."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from bench.harness.cargo_lock import by_cargo, manifest, serve
from bench.resolution_oracle_cargo_random import Made
from tests.shared.protocols.cargo.resolver.cases import CASES
from tests.shared.protocols.cargo.resolver.resolution_support import files

GOLDEN = Path(__file__).parents[1] / "golden" / "locks.json"
REGISTRIES = 16
MOST_BYTES = 5_000  # of one registry that is kept


def main() -> None:
    """Ask cargo about every case, and about made-up registries of which it locks some."""
    index: dict[str, bytes] = {}
    cases: dict[str, list[str] | None] = {}
    registries: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder, serve(index.get) as address:

        def ask(found: dict[str, bytes], requirements: Any, rust: str) -> list[str] | None:
            index.clear()
            index.update(found)
            text = manifest(requirements, rust=rust)
            lock, _ = by_cargo(Path(folder, "project"), Path(folder, "home"), text, index_url=address)
            return None if lock is None else sorted(lock)

        for name, case in CASES.items():
            cases[name] = ask(files(case.table), case.requirements, case.rust)
        seed = 80_000
        while len(registries) < REGISTRIES:
            seed += 1
            made = Made(seed)
            if sum(map(len, made.files.values())) > MOST_BYTES:
                continue
            lock = ask(made.files, made.requirements, made.rust)
            refused = sum(each["lock"] is None for each in registries)
            if (lock is None and refused >= REGISTRIES // 4) or (lock is not None and len(lock) < 3):
                continue
            lines = {
                project: [json.loads(line) for line in body.splitlines()]
                for project, body in made.files.items()
            }
            registries.append(
                {
                    "seed": seed,
                    "rust": made.rust,
                    "requirements": made.requirements,
                    "index": lines,
                    "lock": lock,
                }
            )
    rows = ",\n".join(f"  {json.dumps(each)}" for each in registries)
    told = ",\n".join(f"  {json.dumps(name)}: {json.dumps(lock)}" for name, lock in cases.items())
    GOLDEN.write_text(f'{{\n "cases": {{\n{told}\n }},\n "registries": [\n{rows}\n ]\n}}\n')


if __name__ == "__main__":
    main()
