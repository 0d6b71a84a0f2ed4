"""`python -m scripts.house` counts what it says it counts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from scripts.house import sizes

ROOT = Path(__file__).parents[2]


def test_sizes__total__is_the_sum_of_the_services_and_shared() -> None:
    found = sizes.sizes()
    parts = [value for name, value in found.items() if name == "shared" or name.startswith("services/")]
    assert found["total"] == (sum(files for files, _ in parts), sum(lines for _, lines in parts))


def test_reached__module_imported_within_a_function__is_not_loaded_at_start() -> None:
    modules = {"shared.a": Path(), "shared.b": Path(), "shared.c": Path()}
    path = ROOT / "scripts" / "house" / "__main__.py"
    assert "scripts.house.walks" not in set(
        sizes._imported("scripts.house.__main__", path, modules | {"scripts.house.walks": path})
    )


def test_static__prints_every_image() -> None:
    command = [sys.executable, "-m", "scripts.house", "--static"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for image in sizes.IMAGES:
        assert f"\n  {image} " in done.stdout
