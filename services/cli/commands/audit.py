"""`orchard audit`: who changed what."""

from __future__ import annotations

import argparse
import json
from typing import Any

from services.cli.commands.policy_text import cut
from services.cli.output import Output, moment, table
from services.cli.server import connect, note_more, read_pages

LONGEST = 300  # characters that tell a change


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
            changes(each.get("before"), each.get("after")),
        )
        for each in answer["items"]
    ]
    text = table(rows, ("when", "who", "did", "to", "with")) if rows else "nothing was changed yet"
    output.result(answer, text)
    note_more(answer, output)


def changes(before: Any, after: Any) -> str:
    """What is different, in words; --json has all of it."""
    if isinstance(before, list) or isinstance(after, list):
        return cut(_of_rules(before or [], after or []), LONGEST)
    return cut(_of_one(before, after), LONGEST)


def _of_rules(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> str:
    """Of what has names, in an order: which came, went and changed."""
    old, new = ({str(each.get("name")): each for each in some} for some in (before, after))
    told = [f"{name}: new" for name in new if name not in old]
    told += [f"{name}: changed" for name in new if name in old and new[name] != old[name]]
    told += [f"{name}: gone" for name in old if name not in new]
    if not told and list(old) != list(new):
        told = [f"order: {', '.join(new)}"]
    return ", ".join(told) or "nothing changed"


def _of_one(before: Any, after: Any) -> str:
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
