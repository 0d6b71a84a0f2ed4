"""The printed tables: one row a figure, its bar, and whether it is met."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec


class Figure(msgspec.Struct, frozen=True):
    """One measured figure. `bar` in words, `met` None where there is no bar."""

    name: str
    measured: str
    bar: str = ""
    met: bool | None = None
    note: str = ""


def print_figures(title: str, figures: Sequence[Figure]) -> None:
    """A table for people; `met` is spelt out so that it can be searched."""
    print(f"\n## {title}\n")
    rows = [("figure", "measured", "bar", "met", "note")]
    rows += [
        (f.name, f.measured, f.bar, {True: "yes", False: "NO", None: ""}[f.met], f.note) for f in figures
    ]
    print_rows(rows)


def print_rows(rows: Sequence[Sequence[str]]) -> None:
    """Markdown, aligned."""
    widths = [max(len(str(row[column])) for row in rows) for column in range(len(rows[0]))]
    for number, row in enumerate(rows):
        print(
            "| " + " | ".join(str(cell).ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        )
        if number == 0:
            print("|" + "|".join("-" * (width + 2) for width in widths) + "|")
    print(flush=True)
