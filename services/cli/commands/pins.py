"""`orchard pins`: list, set and remove the upstream that a project is bound to."""

from __future__ import annotations

import argparse
from urllib.parse import quote

from services.cli.output import Output, table
from services.cli.server import connect, note_more, read_pages

PATH = "/api/v1/admin/pins"
OFFERS = "the administration of pins"


def show(options: argparse.Namespace, output: Output) -> None:
    """The projects that are bound, with the upstream of each."""
    query = {"protocol": options.protocol, "prefix": options.prefix}
    answer = read_pages(connect(options), PATH, limit=options.limit, query=query, offers=OFFERS, admin=True)
    rows = [
        (
            str(each.get("protocol", "")),
            str(each.get("project", "")),
            ", ".join(name or "(gone)" for name in each.get("sources") or [str(each.get("source", ""))]),
        )
        for each in answer["items"]
    ]
    output.result(answer, table(rows, ("protocol", "project", "upstream")) if rows else "no pins")
    note_more(answer, output)


def change(options: argparse.Namespace, output: Output) -> None:
    """Binds a project to one upstream or several, over what bound it before."""
    path = f"{PATH}/{options.protocol}/{quote(options.project, safe='')}"
    value = {"sources": options.sources}
    answer = connect(options).call("PUT", path, value=value, offers=OFFERS, admin=True)
    names = ", ".join(options.sources)
    output.result(answer, f"{options.protocol} {options.project} is looked for in {names} and nowhere else")


def remove(options: argparse.Namespace, output: Output) -> None:
    """Unbinds a project: every upstream is asked for it again."""
    path = f"{PATH}/{options.protocol}/{quote(options.project, safe='')}"
    answer = connect(options).call("DELETE", path, offers=OFFERS, admin=True)
    output.result(
        answer if answer is not None else {"removed": options.project},
        f"{options.protocol} {options.project} is looked for in every upstream again",
    )
