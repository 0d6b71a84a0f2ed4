"""`python -m scripts.house [--static | --files]`: how large the house is, and how much of it requests walk
through; with their files, and how many lines each has."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from scripts.house.names import named_outside
from scripts.house.sizes import ROOT, later, reached, sizes

AIMS = {
    "total": (300, 42_000),
    "hot hit": 5,
    "cold index": 40,
    "cold file": 55,
    "blocked page": 30,
    "cold resolution": 65,
}


def _say(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


def _static() -> None:
    _say("Product code, files that say something:", f"  {'':28}{'files':>7}{'lines':>9}")
    found = sizes()
    for name, (files, lines) in sorted(found.items()):
        _say(f"  {name:28}{files:7}{lines:9,}")
    files, lines = (found["total"][i] - sum(found[name][i] for name in later(found)) for i in (0, 1))
    aim = f"   aim ≤ {AIMS['total'][0]}, {AIMS['total'][1]:,}"
    _say(f"  {'without later protocols':28}{files:7}{lines:9,}{aim}   ({', '.join(later(found))})")
    _say("", "Modules of shared/ that each image imports at its start:")
    for image, (modules, lines) in reached().items():
        _say(f"  {image:28}{modules:7}{lines:9,}")
    outside, examples = named_outside()
    _say("", f"Names of protocols in code outside their folders: {len(outside)}   aim 0")
    _say(*(f"  {each}" for each in outside))
    _say(f"  beside these {len(examples)} examples and measured requests (scripts/house/names.py says why)")


def _sum(cost: dict[str, int], names: Iterable[str]) -> int:
    return sum(count for name, count in cost.items() if any(each in name for each in names))


def _lines(path: str) -> int:
    return len((ROOT / path).read_text().splitlines())


def _live(*, files: bool) -> None:
    try:
        from scripts.house.walks import costs, walks
    except ModuleNotFoundError as error:  # `make run` installs what services need, and no test's libraries
        sys.exit(f"the walks need {error.name}: run `make test` once, or say --static")

    with tempfile.TemporaryDirectory(prefix="house-") as folder:
        _say("", "Own files entered per request (all services; without what an idle Orchard enters):")
        for name, walk in walks(Path(folder) / "walks").items():
            each = ", ".join(f"{service} {len(files)}" for service, files in sorted(walk.files.items()))
            aim = f"   aim ≤ {AIMS[name]}" if name in AIMS else ""
            _say(f"  {name:22}{len(walk.all):5}{len(walk.without_idle):5}{aim}   ({each})")
            if files:
                _say(*(f"    {_lines(path):5} {path}" for path in sorted(walk.all)))
        for name, cost in costs(Path(folder) / "costs").items():
            sql, scripts = _sum(cost, ["sql"]), _sum(cost, ["queue evalsha"])
            aim = "   aims ≤ 10, ≤ 8" if name == "cold file" else ""
            _say("", f"A {name}: {sql} SQL statements, {scripts} queue scripts{aim}")
            _say("  " + ", ".join(f"{key} {count}" for key, count in cost.items()))


def main(arguments: list[str]) -> int:
    """Print it; with `--static` only what needs no running Orchard."""
    if set(arguments) - {"--static", "--files"}:
        sys.stderr.write("usage: python -m scripts.house [--static | --files]\n")
        return 2
    _static()
    if "--static" not in arguments:
        _live(files="--files" in arguments)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
