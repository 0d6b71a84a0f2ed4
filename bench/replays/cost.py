"""What recording costs: whole builds, warm, by the plain address and by an open build, in turn."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from bench.harness import processes
from bench.harness.table import Figure
from bench.replays.places import MOST_SECONDS, Place, client_environment
from bench.replays.projects import Project
from services.cli.commands.build import surrounded

RUNS = 5
MOST_MORE = 0.03
CLIENTS = ("pip", "uv", "npm")


class Run(msgspec.Struct, frozen=True):
    """Seconds of one build, and processor seconds of the client and of all of Orchard in it."""

    seconds: float
    processor: float


def run(projects: Sequence[Project], place: Place, work: Path, runs: int) -> list[Figure]:
    """For each of `CLIENTS` among them: medians of both, and how much more a build takes that is recorded."""
    figures = []
    for project in (each for each in projects if each.client in CLIENTS and not each.lacking):
        times: dict[bool, list[Run]] = {False: [], True: []}
        for number in range(runs + 1):
            for recorded in (False, True) if number % 2 else (True, False):
                times[recorded].append(_timed(project, place, work, recorded=recorded))
        # The first of each has warmed what there is to warm.
        plain, recorded_runs = times[False][1:], times[True][1:]
        figures += _figures(project, plain, recorded_runs)
    return figures


def _figures(project: Project, plain: list[Run], recorded: list[Run]) -> list[Figure]:
    figures = []
    for what, bar in (("seconds", MOST_MORE), ("processor", None)):
        one, other = (statistics.median(getattr(each, what) for each in runs) for runs in (plain, recorded))
        more = other / one - 1
        least = min(getattr(each, what) for each in recorded) / min(getattr(each, what) for each in plain) - 1
        note = f"{len(plain)} runs each: {one:.2f} s, recorded {other:.2f} s; of the fastest {least:+.1%}"
        figures.append(
            Figure(
                f"recording, {project.client}, {'time' if bar else 'processor time of client and Orchard'}",
                f"{more:+.1%}",
                f"<= {bar:.0%}" if bar else "",
                more <= bar if bar else None,
                note,
            )
        )
        print(f"    {figures[-1].name}: {figures[-1].measured} ({note})", flush=True)
    return figures


def _timed(project: Project, place: Place, work: Path, *, recorded: bool) -> Run:
    """One build in an empty folder with empty caches. Its session is started before and sealed after."""
    told = json.loads(place.orchard("build", "start", "--json")) if recorded else None
    folder = work / "app"
    shutil.rmtree(work, ignore_errors=True)
    (folder / "home").mkdir(parents=True)
    for path, text in project.files(project.dependencies, place.base).items():
        (folder / path).write_text(text)
    with tempfile.TemporaryDirectory(dir=work) as scratch:
        env = client_environment(folder / "home") | dict(project.environment)
        env = surrounded(env, told["base"] if told else place.base, Path(scratch))
        before = _processor(place)
        began = time.perf_counter()
        words = ["sh", "-ec", project.script]
        subprocess.run(words, cwd=folder, env=env, check=True, capture_output=True, timeout=MOST_SECONDS)
        done = Run(time.perf_counter() - began, _processor(place) - before)
    if told:
        place.orchard("build", "seal", told["id"])
    return done


def _processor(place: Place) -> float:
    of_clients = os.times()
    total = of_clients.children_user + of_clients.children_system
    for pid in (place.pid, *processes.descendants(place.pid)):
        with contextlib.suppress(OSError):  # of a database's connection that ended meanwhile
            total += processes.cpu_seconds([pid])
    return total
