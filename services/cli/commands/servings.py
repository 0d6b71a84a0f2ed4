"""`orchard who-has` and `orchard servings export`: which file went to whom."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from services.cli.output import Output, counted, moment, table
from services.cli.server import Server, connect

WHO_HAS = "/api/v1/admin/who-has"
SERVINGS = "/api/v1/admin/servings"
LARGEST_PAGE = 500
EXPORTED = 5000  # of one page
TYPE = "orchard.serving.v1"  # of the events of an export


def who_has(options: argparse.Namespace, output: Output) -> None:
    """Who got it, the last first, up to --limit; and the locks and resolutions that name it."""
    server = connect(options)
    answer: dict[str, Any] = {}
    items: list[dict[str, Any]] = []
    time_asked = _time(options)
    while len(items) < options.limit and (not answer or answer.get("next")):
        query = {
            **time_asked,
            "of": options.of,
            "limit": str(min(options.limit - len(items), LARGEST_PAGE)),
            "cursor": str(answer.get("next", "")),
        }
        page = server.call("GET", WHO_HAS, query=query, offers="a ledger of servings", admin=True)
        items += page["items"]
        answer = {**page, **answer, "next": page["next"]}
    answer["items"] = items
    output.result(answer, _text(options.of, answer))
    if answer["next"]:
        output.note(f"these are the last {len(items)}; --limit shows more")


def _text(of: str, answer: dict[str, Any]) -> str:
    rows = [
        (
            moment(each["last_at"]),
            str(each["times"]),
            each["result"] + (f": {each['code']}" if each["code"] else ""),
            each["token"] or "-",
            each["address"] or "-",
            " ".join(part for part in (each["tool"], each["tool_version"]) if part) or "-",
            each["filename"] or each["purl"],
        )
        for each in answer["items"]
    ]
    parts = [table(rows, ("last", "times", "what", "token", "address", "tool", "file"))] if rows else []
    if not rows:
        parts.append(f"nobody got {of}, as far as the ledger goes back")
    if not answer.get("all_files", True):
        parts.append("it has more files than are looked at: ask for one version, or by a SHA-256")
    named = [(each["kind"], moment(each["kept_at"]), each["path"]) for each in answer["named_by"]]
    if named:
        parts += ["", table(named, ("named by", "kept", "address"))]
    if not answer["all_looked_through"]:
        parts.append("there are more kept locks and resolutions than could be looked through")
    dependents = [(each["purl"], each["requirement"]) for each in answer["dependents"]]
    if dependents:
        parts += ["", table(dependents, ("stored files that depend on it", "as"))]
    return "\n".join(parts)


def export(options: argparse.Namespace, output: Output) -> None:
    """One line each, the oldest first, as they come."""
    server = connect(options)
    source = server.target.base
    count = 0
    for each in _all(server, options):
        line = each if options.format == "jsonl" else _event(each, source)
        output.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
        count += 1
    output.note(counted(count, "serving"))


def _all(server: Server, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    cursor, time_asked = "", _time(options)
    while True:
        query = {**time_asked, "limit": str(EXPORTED), "cursor": cursor}
        page = server.call("GET", SERVINGS, query=query, offers="a ledger of servings", admin=True)
        yield from page["items"]
        cursor = page["next"]
        if not cursor:
            return


def _event(serving: dict[str, Any], source: str) -> dict[str, Any]:
    """A CloudEvent in its JSON form (CloudEvents 1.0.2, "JSON Event Format")."""
    data = {name: value for name, value in serving.items() if name not in ("id", "at")}
    return {
        "specversion": "1.0",
        "id": serving["id"],
        "source": source,
        "type": TYPE,
        "time": datetime.fromtimestamp(serving["at"], UTC).isoformat().replace("+00:00", "Z"),
        "subject": serving["purl"],
        "datacontenttype": "application/json",
        "data": data,
    }


def _time(options: argparse.Namespace) -> dict[str, str]:
    """--since and --until as the API takes them: a duration counts from now."""
    now = time.time()
    found = {}
    for name in ("since", "until"):
        given = getattr(options, name)
        if given is not None:
            seconds, is_ago = given
            found[name] = repr(round(max(0.0, now - seconds if is_ago else seconds), 6))
    return found
