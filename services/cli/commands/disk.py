"""`orchard disk`: what is stored, what is free, how fast it fills."""

from __future__ import annotations

import argparse
from typing import Any

from services.cli.output import Output, counted, moment, size, table
from services.cli.server import connect

_STATES = {
    "well": "",
    "low": "low: the longest unused files are evicted",
    "short": "short: new files are passed on and not stored",
}


def run(options: argparse.Namespace, output: Output) -> None:
    """One report."""
    found = connect(options).call("GET", "/api/v1/admin/disk", offers="a report on the disk", admin=True)
    output.result(found, "\n".join(_lines(found)))


def _lines(found: dict[str, Any]) -> list[str]:
    disks = {
        (each["free_bytes"], each["total_bytes"], each["floor_bytes"], each["state"])
        for each in found.get("disks", [])
    }
    rows = [
        (size(free), size(total), size(floor), _STATES.get(state, state))
        for free, total, floor, state in sorted(disks)
    ]
    lines = [table(rows, ("free", "of", "floor", "state")), ""] if rows else []
    if found.get("measured_at") is None:
        return [*lines, "what is stored was not counted yet: an extractor does so each hour"]
    stored = [
        (folder, str(amount["objects"]), size(amount["bytes"]))
        for folder, amount in sorted(found["stored"].items())
    ]
    stored.append(("database", "", size(found["database_bytes"] or 0)))
    lines += [table(stored, ("stored", "objects", "size")), f"counted {moment(found['measured_at'])}"]
    growth, full = found.get("growth_bytes_per_day"), found.get("full_in_days")
    if growth is not None:
        word = "grows" if growth >= 0 else "shrinks"
        goes_on = f"; at the floor in {counted(int(full), 'day')}" if full is not None else ""
        lines.append(f"{word} by {size(abs(growth))} a day{goes_on}")
    return [*lines, _bounds(found)]


def _bounds(found: dict[str, Any]) -> str:
    if not found.get("evicts"):
        return "nothing is evicted: what goes could not be fetched again (ORCHARD_OFFLINE)"
    bounds = []
    if found.get("evict_bytes"):
        bounds.append(f"what makes them more than {size(found['evict_bytes'])} in all")
    if found.get("evict_days"):
        bounds.append(f"what was not used for {counted(found['evict_days'], 'day')}")
    return (
        f"of the files is evicted {' or '.join(bounds)}, the longest unused first"
        if bounds
        else "no bound but the floor (ORCHARD_EVICT_BYTES)"
    )
