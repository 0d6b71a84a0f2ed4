"""Commands for the upkeep of an Orchard: its disk, backups, health, logs, imports."""

from __future__ import annotations

from typing import Any

from services.cli.parts import command


def add_to(commands: Any) -> None:
    """Add them to the command's list."""
    for each in (_disk,):
        each(commands)


def _disk(commands: Any) -> None:
    command(
        commands, "disk", "show what is stored, what is free and when it will be full (operator)", "disk:run",
        more="What is stored is counted each hour. ORCHARD_EVICT_BYTES bounds it, ORCHARD_MIN_FREE_BYTES "
        "stays free.",
    )  # fmt: skip
