"""`orchard cache`: list what is stored, invalidate pages, and fetch packages ahead."""

from __future__ import annotations

import argparse
import json
from typing import Any
from urllib.parse import quote

from services.cli.commands import ensure
from services.cli.errors import CommandFailed, Exit, WrongUse, unfinished
from services.cli.output import Output, moment, size, table
from services.cli.server import connect, note_more, read_pages
from services.cli.table import REQUIREMENTS_IN


def show(options: argparse.Namespace, output: Output) -> None:
    """Packages by prefix, or the files of one package; pages are followed up to --limit."""
    if options.name and options.prefix:
        raise WrongUse("PACKAGE and --prefix exclude each other")
    server = connect(options)
    path = f"/api/v1/packages/{options.protocol}"
    if options.name:
        path += f"/{quote(options.name, safe='')}"
    query = {"prefix": options.prefix}
    answer = read_pages(server, path, limit=options.limit, query=query, offers="a list of what is kept")
    found = answer["items"]
    if options.name:
        rows = [
            (str(each["filename"]), str(each["version"] or "-"), size(each["size_bytes"]),
             moment(each["first_seen_at"]), str(each["sha256"]))
            for each in found
        ]  # fmt: skip
        text = table(rows, ("file", "version", "size", "first seen", "sha256"))
    else:
        packages = [(str(each["name"]), moment(each["first_seen_at"])) for each in found]
        text = table(packages, ("package", "first seen")) if packages else "nothing is kept"
    output.result(answer, text)
    note_more(answer, output)


def invalidate(options: argparse.Namespace, output: Output) -> None:
    """Marks pages as old: their next request asks upstream."""
    if bool(options.project) == options.all:
        raise WrongUse("cache invalidate: name a PROJECT or say --all", "`orchard cache invalidate --help`")
    value = {"protocol": options.protocol, **({"all": True} if options.all else {"project": options.project})}
    answer = connect(options).call(
        "POST", "/api/v1/admin/cache/invalidate", value=value, offers="invalidation", admin=True
    )
    count = answer.get("invalidated") if isinstance(answer, dict) else None
    what = "every page" if options.all else options.project
    if count == 0:
        text = f"{options.protocol}: no page of {'any project' if options.all else options.project} is kept"
    else:
        number = f" ({count})" if isinstance(count, int) and not isinstance(count, bool) else ""
        text = f"{options.protocol}: {what} is asked for again{number}"
    output.result(answer, text)


def warm(options: argparse.Namespace, output: Output) -> Exit:
    """The same as ensuring a file of these requirements."""
    text = json.dumps({options.protocol: requirements_table(options.protocol, options.requirements)}).encode()
    body = ensure.ensure(
        connect(options),
        text,
        output,
        content_type="application/json",
        timeout_seconds=options.timeout,
        again="The same command picks it up again.",
    )
    lock = json.loads(body)
    output.result(lock, ensure.summary(lock, []))
    if not lock.get("complete", True):
        raise unfinished("the cache", lock.get("missing", ()))
    return Exit.DONE


def requirements_table(protocol: str, requirements: list[str]) -> dict[str, Any]:
    """A protocol's table of an ensure file."""
    field, by_name = REQUIREMENTS_IN[protocol]
    if not by_name:
        return {field: requirements}
    found: dict[str, str] = {}
    for each in requirements:
        # The first character may be a scope's "@".
        name, _, wanted = (each[1:] if each.startswith("@") else each).partition("@")
        name = f"@{name}" if each.startswith("@") else name
        if name in found:
            raise CommandFailed(f"{name} is named twice", f"{protocol} takes one range for each name.")
        found[name] = wanted or "latest"
    return {field: found}
