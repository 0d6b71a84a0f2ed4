"""What a view of a moment resolved beside what the client's own option for that moment did."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

CLIENT_SECONDS = 600

Lock = Mapping[str, str]
"""What was locked, by its name (npm: its folder): version, and the digests that the client writes down."""

NEITHER = "neither resolves"


class Outcome(msgspec.Struct, frozen=True):
    """One resolution: `lock` None where the client refused, and then what it said."""

    lock: Lock | None
    said: str = ""


class Compared(msgspec.Struct, frozen=True):
    """One root at one moment. `why` has a line for each difference."""

    root: str
    moment: str  # RFC 3339
    view: Outcome
    oracle: Outcome
    why: tuple[str, ...] = ()

    @property
    def counts(self) -> bool:
        """Whether anybody resolves it: what was not there yet on that day shows nothing."""
        return self.view.lock is not None or self.oracle.lock is not None

    @property
    def agrees(self) -> bool:
        return self.counts and self.view.lock == self.oracle.lock


def differing(view: Outcome, oracle: Outcome) -> list[str]:
    """The names that the two locks do not have alike; none where one is missing."""
    if view.lock is None or oracle.lock is None:
        return []
    names = sorted({*view.lock, *oracle.lock})
    return [name for name in names if view.lock.get(name) != oracle.lock.get(name)]


def refusals(view: Outcome, oracle: Outcome) -> list[str]:
    """What was said where a side has no lock."""
    sides = (("in the view", view), ("by the oracle", oracle))
    return [f"no lock {side}: {outcome.said}" for side, outcome in sides if outcome.lock is None]


def show(one: Compared) -> None:
    """One root's line, and one for each difference."""
    word = "equal  " if one.agrees else "DIFFERS" if one.counts else "nothing"
    size = len(one.view.lock or one.oracle.lock or ())
    print(f"{one.moment[:10]}  {word} {one.root:58} {size:4} locked", flush=True)
    if not one.agrees:
        for line in one.why:
            print(f"            {line}", flush=True)


def share(compared: Sequence[Compared]) -> float:
    """Of the roots that anybody resolves, how many are equal; none at all are none equal."""
    counted = [one for one in compared if one.counts]
    return sum(one.agrees for one in counted) / max(1, len(counted))


def row(protocol: str, moment: str, compared: Sequence[Compared]) -> tuple[str, ...]:
    """Of the table: roots that anybody resolves, equal ones, packages in them, differing ones, the others."""
    counted = [one for one in compared if one.counts]
    equal = [one for one in counted if one.agrees]
    packages = sum(len(one.view.lock or ()) for one in equal)
    left = len(compared) - len(counted)
    return (
        protocol, moment[:10], f"{len(counted)}", f"{len(equal)}", f"{100 * share(compared):.1f} %",
        f"{packages}", f"{len(counted) - len(equal)}", f"{left}",
    )  # fmt: skip


HEADINGS = ("protocol", "as of", "roots", "equal", "", "packages in them", "differing", NEITHER)


def client(command: Sequence[str], folder: Path, home: Path, **more: str) -> tuple[int, str, str]:
    """A client's run without this machine's own settings: exit code, output, errors."""
    home.mkdir(parents=True, exist_ok=True)
    clean = {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8", **more}
    try:
        done = subprocess.run(
            list(command), cwd=folder, env=clean, capture_output=True, text=True, timeout=CLIENT_SECONDS
        )
    except subprocess.TimeoutExpired:
        return 1, "", f"took longer than {CLIENT_SECONDS} s"
    return done.returncode, done.stdout, done.stderr


def last_words(lines: Iterable[str]) -> str:
    """What a client said, short."""
    return " / ".join(line.strip() for line in lines if line.strip())[:400]
