"""`orchard events`: what an operator should know, and accepting what an upstream changed."""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

from services.cli.output import Output, moment, table
from services.cli.server import connect, note_more, read_pages
from shared.artifacts.event_kinds import WARNED

PATH = "/api/v1/events"
OFFERS = "a list of events"


def show(options: argparse.Namespace, output: Output) -> None:
    """The event that was seen last first, up to --limit."""
    query = {"kind": options.kind, "protocol": options.protocol, "project": options.project}
    if not options.kind:
        query["warnings"] = "false"  # they would bury what needs a person
    if options.since:
        at, is_ago = options.since
        query["since"] = str(round(time.time() - at if is_ago else at, 3))
    answer = read_pages(connect(options), PATH, limit=options.limit, query=query, offers=OFFERS, admin=True)
    rows = [
        (
            f"{each.get('id', '')}{'*' if each.get('acceptable') else ''}",
            moment(each.get("last_at")),
            str(each.get("count", "")),
            str(each.get("kind", "")),
            str(each.get("protocol", "")),
            str(each.get("project", "")),
            str(each.get("filename", "")),
            _detail(each),
        )
        for each in answer["items"]
    ]
    heads = ("id", "last seen", "times", "what", "protocol", "project", "file", "detail")
    output.result(answer, table(rows, heads) if rows else "no events")
    if any(each.get("acceptable") for each in answer["items"]):
        output.note("* can be accepted: `orchard events accept ID`")
    elif not options.kind:
        output.note(f"without warnings of rules: `orchard events --kind {WARNED}`")
    note_more(answer, output)


def accept(options: argparse.Namespace, output: Output) -> None:
    """The upstream's bytes are taken at the next fetch."""
    answer = connect(options).call(
        "POST", f"/api/v1/admin/events/{options.id}/accept", value={}, offers=OFFERS, admin=True
    )
    output.result(
        answer,
        f"{answer['protocol']} {answer['project']}: {answer['filename']} is taken as the upstream has it now",
    )


def _detail(event: dict[str, Any]) -> str:
    detail = event.get("detail")
    parts = [
        f"{name}: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
        for name, value in (detail.items() if isinstance(detail, dict) else ())
    ]
    if event.get("accepted_by"):
        parts.insert(0, f"accepted by {event['accepted_by']} at {moment(event.get('accepted_at'))}")
    return ", ".join(parts)
