"""`python -m bench.lock_inputs [--only FORMAT …]`: locks of real projects, made by their clients.

Twelve projects of each ecosystem are locked by each client through one Orchard, which asks this machine's
own registries. Every lock is then posted to a second Orchard that has nothing stored and whose upstream is
the first, and each file that the lock names, by plain parsers of this bench's own, is looked for in the
answer: name, version, file name, and the digest of the bytes that the second Orchard serves. Bills of
materials come of npm, of `cyclonedx-py`, and of Orchard's own exports; a pom.xml is compared with the files
that mvn took. Exits 1 if anything differs or a client failed.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import httpx
import msgspec

from bench.harness.orchard import Orchard, orchard
from bench.harness.table import print_rows
from bench.harness.work_folders import work_folder
from bench.lock_inputs import bills, cargo_locks, java_locks, maven_projects, node_locks, python_locks
from bench.lock_inputs.comparing import Compared, compare, posted
from bench.lock_inputs.locked import Locked, Through
from bench.lock_inputs.reading import READERS, read
from shared.default_upstreams import default_upstream

LOCKERS = {
    form: module.lock
    for module in (python_locks, node_locks, cargo_locks, java_locks, maven_projects, bills)
    for form in module.FORMS
}


class Row(msgspec.Struct):
    """One format's figures."""

    form: str
    by: set[str] = set()
    projects: int = 0
    whole: int = 0  # projects of which nothing differs
    compared: list[Compared] = []


def main() -> int:
    """Lock, post, compare; see the module's first lines."""
    parser = argparse.ArgumentParser(prog="python -m bench.lock_inputs", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=list(READERS), metavar="FORMAT", help="these formats")
    parser.add_argument("--keep", action="store_true", help="keep the working folder")
    options = parser.parse_args()
    with work_folder("lock-inputs", keep=options.keep) as work:
        rows = _measure(work, options.only or list(READERS))
    return _print(rows)


def _measure(work: Path, forms: Sequence[str]) -> list[Row]:
    upstream, origin = default_upstream("pypi", {}, 0)
    print(
        f"the first Orchard asks {origin}; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores",
        flush=True,
    )
    rows = {form: Row(form) for form in READERS}
    with (
        orchard(work / "first", upstream=upstream, pin=False) as first,
        orchard(
            work / "second",
            upstream=first.url("/pypi/simple/"),
            npm_upstream=first.url("/npm/"),
            maven_upstream=first.url("/maven/"),
            cargo_upstream=first.url("/cargo/"),
            pin=False,
        ) as second,
    ):
        through = Through(work, first.url(""))
        for form in forms:
            _of_format(through, second, LOCKERS[form](through, form), rows, forms)
        print(f"{through.again} runs of clients were repeated after passing failures")
    return [row for row in rows.values() if row.projects]


def _of_format(
    through: Through, second: Orchard, locks: Iterable[Locked], rows: dict[str, Row], forms: Sequence[str]
) -> None:
    for locked in locks:
        row = rows[locked.form]
        done = _one(second, locked)
        row.by.add(locked.by)
        row.projects += 1
        row.whole += not done.differing
        row.compared.append(done)
        print(
            f"{'equal  ' if not done.differing else 'DIFFERS'} {locked.form:26} {locked.project:44}"
            f" {done.equal:5} of {done.named:5} files by {locked.by}",
            flush=True,
        )
        for line in done.differing[:10]:
            print(f"          {line}", flush=True)
        if locked.form in bills.OWN_OF and not done.differing:
            own = [
                each
                for each in bills.own(through.work, second.url(""), locked, done.key)
                if each.form in forms
            ]
            _of_format(through, second, own, rows, forms)


def _one(second: Orchard, locked: Locked) -> Compared:
    if locked.failed:
        return Compared(0, differing=[f"{locked.by} failed: {locked.failed}"])
    try:
        named = read(locked.form, locked.path)
        kind = {"CycloneDX": "cyclonedx", "SPDX": "spdx"}.get(locked.form, "")
        query = {"kind": kind} if kind else {"name": locked.path.name}
        with httpx.Client(base_url=second.url(""), timeout=300, trust_env=False) as send:
            return compare(send, named, posted(send, locked.path.read_bytes(), query))
    except (httpx.HTTPError, LookupError, ValueError, RuntimeError) as error:
        return Compared(0, differing=[f"{type(error).__name__}: {error}"])


def _print(rows: Sequence[Row]) -> int:
    head = (
        "format",
        "locked by",
        "projects",
        "packages",
        "files",
        "equal",
        "differing",
        "MB",
        "posted again",
    )
    lines: list[tuple[str, ...]] = [head]
    for row in rows:
        differing = sum(len(each.differing) for each in row.compared)
        lines.append(
            (
                row.form,
                ", ".join(sorted(row.by)),
                f"{row.projects}",
                f"{sum(each.packages for each in row.compared)}",
                f"{sum(each.named for each in row.compared)}",
                f"{sum(each.equal for each in row.compared)}",
                f"{differing}",
                f"{sum(each.size_bytes for each in row.compared) / 1e6:.0f}",
                f"{sum(each.again for each in row.compared)}",
            )
        )
    print()
    print_rows(lines)
    whole = sum(row.whole for row in rows)
    projects = sum(row.projects for row in rows)
    print(f"{whole} of {projects} locks came back with the same versions and hashes")
    return 0 if whole == projects else 1


if __name__ == "__main__":
    sys.exit(main())
