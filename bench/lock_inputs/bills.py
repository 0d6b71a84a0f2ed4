"""Bills of materials: of tools from outside, and of Orchard's own exports."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.lock_inputs import node_locks, python_locks
from bench.lock_inputs.locked import Locked, Through
from tests.support.client_environments import CLIENTS

FORMS = ("CycloneDX", "SPDX")
EXPORTS = {"CycloneDX": "bom.cdx.json", "SPDX": "bom.spdx.json"}
OWN_OF = ("uv.lock", "package-lock.json 3", "gradle.lockfile", "Cargo.lock")
"""The formats whose locks Orchard is asked for a bill of."""


def lock(through: Through, form: str) -> Iterator[Locked]:
    """npm's, and for CycloneDX those of `cyclonedx-py` of poetry's locks, which tell every file."""
    yield from node_locks.bills(through, form)
    if form == "CycloneDX":
        for each in list(python_locks.lock(through, "poetry.lock", under="cyclonedx-py")):
            yield each if each.failed else _by_cyclonedx_py(through, each)


def _by_cyclonedx_py(through: Through, poetry: Locked) -> Locked:
    command: Sequence[str | Path] = [
        CLIENTS / "uv" / "bin" / "uv", "tool", "run", "--from", "cyclonedx-bom", "cyclonedx-py", "poetry",
    ]  # fmt: skip
    env = python_locks.uv_environment(through)
    made = through.locked("CycloneDX", poetry.project, poetry.path.parent, "stdout", [command], env)
    return Locked(made.form, made.project, made.path, "cyclonedx-py", made.failed)


def own(work: Path, base: str, locked: Locked, key: str) -> Iterator[Locked]:
    """What the Orchard at `base` exports of a lock of its own."""
    for form, name in EXPORTS.items():
        path = work / "own" / locked.form.replace(" ", "-") / locked.project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with urllib.request.urlopen(f"{base}/api/v1/ensures/{key}/exports/{name}", timeout=60) as answer:
            path.write_bytes(answer.read())
        yield Locked(form, f"{locked.project} of {locked.form}", path, "Orchard")
