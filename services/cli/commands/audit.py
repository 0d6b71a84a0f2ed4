"""`orchard audit`: who changed what."""

from __future__ import annotations

import argparse
import json
from typing import Any

from services.cli.connect import connect
from services.cli.output import Output, moment, table

_SHOWN_APART = ("id", "at", "created_at", "actor", "action", "subject")


def run(options: argparse.Namespace, output: Output) -> None:
    """The newest entries first, up to --limit."""
    server = connect(options)
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        query = {"limit": str(min(options.limit - len(found), 500)), "cursor": cursor}
        answer = server.call("GET", "/api/v1/admin/audit", query=query, offers="an audit log", admin=True)
        found += answer.get("items", [])
        cursor = str(answer.get("next", ""))
        if not cursor or len(found) >= options.limit:
            break
    rows = [
        (
            moment(each.get("at", each.get("created_at"))),
            str(each.get("actor", "")),
            str(each.get("action", "")),
            str(each.get("subject", "")),
            _rest(each),
        )
        for each in found
    ]
    text = table(rows, ("when", "who", "did", "to", "with")) if rows else "nothing was changed yet"
    output.result({"items": found, "next": cursor}, text)


def _rest(entry: dict[str, Any]) -> str:
    rest = {
        name: value
        for name, value in entry.items()
        if name not in _SHOWN_APART and value not in ("", None, {})
    }
    detail = rest.pop("detail", None)
    words = [detail if isinstance(detail, str) else json.dumps(detail)] if detail else []
    return " ".join(words + [f"{name}={value}" for name, value in rest.items()])
