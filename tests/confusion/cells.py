"""The cells of the table: protocol × answer of the first source × offer of the second × what was before, and
what a client may see in each."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from tests.confusion.shapes import SHAPES, Shape

ABSENT = ("404", "410", "404 with a page")
ODD = ("empty page", "web page")
FAILING = (
    "elsewhere, a page", "elsewhere, 404", "login, then 404", "204",
    "401", "403", "429", "500", "503", "reset", "timeout",
)  # fmt: skip
ANSWERS = ("200", *ABSENT, *ODD, *FAILING)
OFFERS = ("higher", "same", "nothing")
ASKED = ("never seen", "pinned first", "pinned second")
AWAY = ("paused, pinned", "paused, never seen", "removed, pinned", "removed, never seen")


@dataclass(frozen=True)
class Cell:
    """One case; `project` is its own."""

    shape: Shape
    answer: str
    offer: str
    state: str
    project: str

    @property
    def row(self) -> str:
        return f"{self.shape.name} | {self.state} | {self.answer}"

    @property
    def page(self) -> set[str]:
        """Whose page a client may see: "first", "second", "empty", "404", "error" (any other status)."""
        seconds = {"404"} if self.offer == "nothing" else {"second"}
        if self.state == "pinned second" or (self.state.endswith("never seen") and self.state in AWAY):
            return seconds
        if self.state in AWAY:
            return {"error"}
        if self.answer == "200":
            return {"first"}
        if self.answer == "empty page" and self.shape.may_be_empty:
            return {"empty"}
        if self.state == "pinned first":
            if self.answer in ABSENT:
                return {"404"}
            return {"first"} | ({"empty"} if self.answer == "web page" else set())
        if self.answer in ABSENT:
            return seconds
        return {"error"}

    @property
    def file(self) -> set[str]:
        """Whose file a client may get for the second source's one, from a lock file: as `page`."""
        seconds = {"404"} if self.offer == "nothing" else {"second"}
        firsts = {"first"} if self.offer == "same" and self.shape.name != "pypi" else {"404"}
        if self.state == "pinned second" or (self.state.endswith("never seen") and self.state in AWAY):
            return seconds
        if self.state in AWAY:
            return {"error"}
        if self.answer == "200":
            return firsts
        if self.shape.name == "maven" and self.answer == "elsewhere, a page":
            # Files may lie anywhere, but what was known of this one holds: its checksum, published before.
            known = self.state == "pinned first" and self.offer == "same"
            return {"error"} if known or self.offer == "nothing" else {"elsewhere"}
        if self.state == "pinned first":
            # The file itself still lies at the first source, where its last good page says.
            return {"404", "error"} | (firsts if self.offer == "same" else set())
        if self.answer in ABSENT:
            return seconds
        if self.answer == "empty page" and self.shape.may_be_empty:
            return {"404"}
        return {"error"}


def cells() -> list[Cell]:
    """All, those with a healthy first source first: a breaker that the others open spoils nothing."""
    names = (f"name{number}" for number in itertools.count(1))
    asked = itertools.product(ANSWERS, ASKED, SHAPES, OFFERS)
    away = itertools.product(AWAY, SHAPES, OFFERS)
    return [
        *(Cell(shape, answer, offer, state, next(names)) for answer, state, shape, offer in asked),
        *(Cell(shape, "–", offer, state, next(names)) for state, shape, offer in away),
    ]


def table(seen: dict[Cell, tuple[str, str]]) -> str:
    """For each row and offer: whose page, whose file."""
    rows: dict[str, dict[str, str]] = {}
    for cell, (page, file) in seen.items():
        good = page in cell.page and file in cell.file
        rows.setdefault(cell.row, {})[cell.offer] = f"{page}, {file}" + ("" if good else " ✗")
    head = f"| protocol | before | first source | {' | '.join(OFFERS)} |\n|{'---|' * 6}"
    lines = [f"| {row} | {' | '.join(by[offer] for offer in OFFERS)} |" for row, by in rows.items()]
    return "\n".join([head, *lines])
