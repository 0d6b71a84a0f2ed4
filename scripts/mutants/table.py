"""The kept breaks: `*.toml` beside this file, one table `[[mutant]]` each, grouped by subject."""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(__file__).parent


class Mutant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One break: `was` stands exactly once in `file`; with `becomes` in its place one of `tests` fails."""

    rule: str  # what holds, in words: "a stale graph is never kept"
    file: str  # below the root
    was: str
    becomes: str
    tests: list[str]  # what pytest is given: files, or single tests
    group: str = ""


class Stale(ValueError):
    """A row that no longer fits the code: its rule would be thought to be tested."""


def mutants() -> list[Mutant]:
    """Every row, checked against the code. Raises `Stale` with all rows that do not fit."""
    found, faults = [], []
    for path in sorted(FOLDER.glob("*.toml")):
        rows = msgspec.convert(tomllib.loads(path.read_text())["mutant"], list[Mutant])
        found += [msgspec.structs.replace(row, group=path.stem) for row in rows]
    for row in found:
        file = ROOT / row.file
        times = file.read_text().count(row.was) if file.is_file() else 0
        if times != 1:
            faults.append(f"{row.group}: {row.rule}: what it breaks stands {times} times in {row.file}")
        faults += [
            f"{row.group}: {row.rule}: no file {each}"
            for each in row.tests
            if not (ROOT / each.split("::")[0]).exists()
        ]
        if row.was == row.becomes or not row.tests:
            faults.append(f"{row.group}: {row.rule}: breaks nothing, or is shown to no test")
    if faults:
        raise Stale("\n".join(faults))
    return found
