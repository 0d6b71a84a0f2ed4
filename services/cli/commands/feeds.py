"""`orchard feeds`: where advisories come from; `orchard quarantine`: stored files that are malware."""

from __future__ import annotations

import argparse
from pathlib import Path

from services.cli.commands.upstreams import items
from services.cli.files import check_place, write_whole
from services.cli.output import Output, moment, size, table
from services.cli.server import connect, note_more, read_pages

FEEDS = "/api/v1/admin/feeds"
QUARANTINE = "/api/v1/admin/quarantine"
OFFERS = "feeds of advisories"


def show(options: argparse.Namespace, output: Output) -> None:
    """Each feed: what counts of it, how fresh that is, and what is wrong with what it has now."""
    answer = connect(options).call("GET", FEEDS, offers=OFFERS, admin=True)
    rows = [
        (
            str(each.get("feed")),
            str(each.get("advisories")),
            moment(each.get("read_at")) if each.get("read_at") else "never",
            moment(each.get("confirmed_at")) if each.get("confirmed_at") else "never",
            str(each.get("fault") or "-"),
        )
        for each in items(answer)
    ]
    heads = ("feed", "advisories", "since", "confirmed", "fault")
    output.result(answer, table(rows, heads) if rows else "no feed is set, or none was looked at yet")


def accept(options: argparse.Namespace, output: Output) -> None:
    """Lets a feed count that has become much smaller."""
    made = connect(options).call(
        "POST", f"{FEEDS}/accept", value={"feed": options.feed}, offers=OFFERS, admin=True
    )
    output.result(made, f"{options.feed} is read again, and counts as it is")


def quarantine(options: argparse.Namespace, output: Output) -> None:
    """The files, the oldest first."""
    answer = read_pages(connect(options), QUARANTINE, limit=options.limit, offers=OFFERS, admin=True)
    rows = [
        (
            moment(each.get("since")),
            str(each.get("filename")),
            size(each.get("size_bytes") or 0),
            str(each.get("sha256")),
            str(each.get("advisory")),
        )
        for each in items(answer)
    ]
    heads = ("since", "file", "size", "sha256", "advisory")
    output.result(answer, table(rows, heads) if rows else "nothing is under quarantine")
    note_more(answer, output)


def get(options: argparse.Namespace, output: Output) -> None:
    """Writes the bytes of one file, whole or not at all."""
    check_place(Path(options.output))
    server = connect(options)
    answer = server.request("GET", f"{QUARANTINE}/{options.sha256}", admin=True)
    server.check(answer, offers=OFFERS, admin=True)
    write_whole(Path(options.output), answer.body)
    output.result({"path": options.output}, f"{options.output} is malware: handle with care")
