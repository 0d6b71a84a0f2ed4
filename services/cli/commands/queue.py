"""`orchard queue dead`: jobs that were given up, tried again or dropped."""

from __future__ import annotations

import argparse
import json
import re
from typing import Any

from services.cli.errors import WrongUse
from services.cli.output import Output, moment, table
from services.cli.parts import QUEUES
from services.cli.server import connect, note_more, read_pages

OFFERS = "a list of jobs given up"
_ID = re.compile(r"([a-z]+)-[0-9a-f]{16}")


def dead(options: argparse.Namespace, output: Output) -> None:
    """The newest of each queue first, up to --limit; or one of them is tried again or dropped."""
    if options.retry is not None or options.drop is not None:
        _change(options, output)
        return
    server, following = connect(options), ""
    found: list[dict[str, Any]] = []
    for queue in [options.queue] if options.queue else QUEUES:
        left = options.limit - len(found)
        if left <= 0:
            following = following or queue
            break
        path = f"/api/v1/admin/queues/{queue}/dead"
        answer = read_pages(server, path, limit=left, offers=OFFERS, admin=True)
        found += answer["items"]
        following = following or answer["next"]
    rows = [
        (
            str(each.get("id", "")),
            moment(each.get("at")),
            str(each.get("count", "")),
            str(each.get("reason", "")),
            json.dumps(each["job"], ensure_ascii=False) if each.get("job") else str(each.get("job_id", "")),
        )
        for each in found
    ]
    result: dict[str, Any] = {"items": found, "next": following}
    output.result(result, table(rows, ("id", "last", "times", "why", "job")) if rows else "no dead jobs")
    note_more(result, output)


def _change(options: argparse.Namespace, output: Output) -> None:
    name = str(options.drop if options.retry is None else options.retry)
    match = _ID.fullmatch(name)
    if match is None or match[1] not in QUEUES:
        raise WrongUse(f"queue dead: {name[:80]!r} is no ID", "`orchard queue dead` shows them.")
    path = f"/api/v1/admin/queues/{match[1]}/dead/{name}"
    if options.drop is not None:
        answer = connect(options).call("DELETE", path, offers=OFFERS, admin=True)
        output.result(answer, f"{answer['removed']} is dropped")
        return
    answer = connect(options).call("POST", f"{path}/retry", value={}, offers=OFFERS, admin=True)
    text = "is in the queue again" if answer["accepted"] else "was in the queue already"
    output.result(answer, f"{answer['requeued']} {text}")
