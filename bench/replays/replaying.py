"""One project: recorded, sealed, and built again from that alone; what differs."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from bench.harness.table import Figure
from bench.replays.arrived import Arrived
from bench.replays.passed import counts
from bench.replays.places import Place, client_environment, cut_off
from bench.replays.projects import Project

HEADINGS = (
    "project", "client", "dependencies", "pages", "files", "absent", "bundle, MB", "bytes compared",
    "in files", "bytes that differ", "connections", "recorded, s", "replayed, s", "one thing more",
)  # fmt: skip
LEAST_DEPENDENCIES = 50
SHOWN = 30  # of what differs


class Failed(Exception):
    """A build failed that must not, with what it said."""


class Replayed(msgspec.Struct):
    """What is told of one project."""

    sealed: dict[str, Any]
    dependencies: int
    bundle_bytes: int
    compared: int
    files: int
    different: dict[str, int]  # path → bytes
    connections: int
    recorded: float
    replayed: float
    refused: str  # the client's words

    def row(self, project: Project) -> tuple[str, ...]:
        sealed = self.sealed
        return (
            *(project.name, project.client, f"{self.dependencies}"),
            *(f"{sealed[each]:,}" for each in ("pages", "files", "absent")),
            *(f"{self.bundle_bytes / 1e6:.0f}", f"{self.compared:,}", f"{self.files:,}"),
            *(f"{sum(self.different.values()):,}", f"{self.connections}"),
            *(f"{self.recorded:.1f}", f"{self.replayed:.1f}", self.refused),
        )


def run(projects: Sequence[Project], place: Place, work: Path) -> tuple[list[Sequence[str]], list[Figure]]:
    """A row and the figures of each, one project after the other."""
    rows: list[Sequence[str]] = [HEADINGS]
    figures = []
    for project in projects:
        title = f"{project.name}, {project.client}"
        if project.lacking:
            print(f"{title}: left out, there is no {project.lacking} here", flush=True)
            continue
        folder = work / "project"
        try:
            done = replay(project, place, folder)
        except Failed as error:
            print(f"{title}: FAILED\n{error}", flush=True)
            figures.append(Figure(title, "failed", "is built again", False))
            continue
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        rows.append(done.row(project))
        print(" · ".join(done.row(project)), flush=True)
        grouped = Counter("/".join(path.split("/")[:5]) for path in done.different)
        for around, count in grouped.most_common(SHOWN):
            path = next(each for each in done.different if each.startswith(around))
            print(f"    differs: {path} ({count} in {around})", flush=True)
        figures += _figures(title, done)
    return rows, figures


def _figures(title: str, done: Replayed) -> list[Figure]:
    different, many = sum(done.different.values()), done.dependencies >= LEAST_DEPENDENCIES
    return [
        Figure(f"{title}, dependencies", f"{done.dependencies}", f">= {LEAST_DEPENDENCIES}", many),
        Figure(f"{title}, bytes that differ", f"{different:,} of {done.compared:,}", "0", different == 0),
        Figure(f"{title}, connections", f"{done.connections}", "0", done.connections == 0),
        Figure(f"{title}, one thing more", done.refused or "no word of it", "is named", bool(done.refused)),
    ]


def replay(project: Project, place: Place, folder: Path) -> Replayed:
    """Raises `Failed`."""
    started = json.loads(place.orchard("build", "start", "--name", project.client, "--json"))
    began = time.monotonic()
    first = _built(project, place, folder / "app", started, "--seal")
    recorded = time.monotonic() - began
    dependencies = project.count(folder / "app")
    sealed = json.loads(place.orchard("build", "show", started["id"], "--json"))
    bundle = folder / "app.bundle"
    written = json.loads(place.orchard("bundle", started["id"], "-o", str(bundle), "--json"))
    with cut_off(folder / "cut-off", place.port) as there:
        there.place.orchard("import", str(bundle), "--trust", written["key"])
        before = there.connections()  # an Orchard tries its upstreams when it starts, to tell of them
        began = time.monotonic()
        second = _built(project, there.place, folder / "app", started)
        replayed = time.monotonic() - began
        refused = _refused(project, there.place, folder / "app", started)
        connections = there.connections() - before
    kept = {path for path in (*first, *second) if counts(path)}
    different = {
        path: max(first.get(path, (0, ""))[0], second.get(path, (0, ""))[0])
        for path in sorted(kept)
        if first.get(path) != second.get(path)
    }
    return Replayed(
        sealed,
        dependencies,
        bundle.stat().st_size,
        sum(first[path][0] for path in kept if path in first),
        len(kept),
        different,
        connections,
        recorded,
        replayed,
        refused,
    )


def _built(project: Project, place: Place, folder: Path, build: dict[str, Any], *options: str) -> Arrived:
    """Build it in an empty folder; all that has arrived at the client."""
    _write(project, folder, project.dependencies, build["base"])
    told = folder.parent / "arrived.json"
    script = f"{project.script} && {sys.executable} -m bench.replays.arrived {told}"
    code, said = _run(project, place, folder, build, script, *options)
    if code:
        raise Failed(said[-4000:])
    return {path: (size, digest) for path, (size, digest) in json.loads(told.read_text()).items()}


def _refused(project: Project, place: Place, folder: Path, build: dict[str, Any]) -> str:
    """What a client says of one thing more; "" if it says nothing of it. Raises `Failed` if it succeeds."""
    _write(project, folder, [*project.dependencies, project.strange], build["base"])
    code, said = _run(project, place, folder, build, project.script)
    if not code:
        raise Failed(f"{project.strange} was not recorded, and is there")
    return next((line.strip()[:160] for line in said.splitlines() if project.strangers_name in line), "")


def _write(project: Project, folder: Path, dependencies: Sequence[str], base: str) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "home").mkdir(parents=True)
    for path, text in project.files(dependencies, base).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)


def _run(
    project: Project, place: Place, folder: Path, build: dict[str, Any], script: str, *options: str
) -> tuple[int, str]:
    orchard = [sys.executable, "-m", "services.cli", "build", "exec", "--build", build["id"], *options]
    env = client_environment(folder / "home") | dict(project.environment)
    done = place.run(*orchard, "--", "sh", "-ec", script, cwd=folder, env=env)
    return done.returncode, done.stdout + done.stderr
