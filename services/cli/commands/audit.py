"""`orchard audit`: who changed what."""

from __future__ import annotations

import argparse
import json
from typing import Any

from services.cli.output import Output, moment, table
from services.cli.server import connect, note_more, read_pages


def run(options: argparse.Namespace, output: Output) -> None:
    """The newest entries first, up to --limit."""
    answer = read_pages(
        connect(options), "/api/v1/admin/audit", limit=options.limit, offers="an audit log", admin=True
    )
    rows = [
        (
            moment(each.get("at")),
            str(each.get("actor", "")),
            str(each.get("action", "")),
            str(each.get("subject", "")),
            _changes(each.get("before"), each.get("after")),
        )
        for each in answer["items"]
    ]
    text = table(rows, ("when", "who", "did", "to", "with")) if rows else "nothing was changed yet"
    output.result(answer, text)
    note_more(answer, output)


def _changes(before: Any, after: Any) -> str:
    """What is different, in words."""
    if not isinstance(before, dict) or not isinstance(after, dict):
        found = after if after is not None else before
        if isinstance(found, dict):
            found = {name: value for name, value in found.items() if value not in ("", None)}
        return json.dumps(found, ensure_ascii=False) if found is not None else ""
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return ", ".join(f"{name}: {_short(before.get(name))} -> {_short(after.get(name))}" for name in names)


def _short(value: Any) -> str:
    return (
        "-" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    )
