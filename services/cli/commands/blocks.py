"""`orchard blocks`: packages, versions and files that must not be served."""

from __future__ import annotations

import argparse
import re
from typing import Any

from services.cli.commands.upstreams import items
from services.cli.errors import WrongUse
from services.cli.output import Output, moment, table
from services.cli.server import connect
from services.cli.table import PROTOCOLS
from shared.digests import is_sha256

PATH = "/api/v1/admin/blocks"
OFFERS = "blocking"


def show(options: argparse.Namespace, output: Output) -> None:
    """All blocks with their reasons."""
    answer = connect(options).call("GET", PATH, offers=OFFERS, admin=True)
    rows = [
        (
            str(each.get("id") or "-"),
            what(each),
            moment(each.get("created_at")),
            str(each.get("reason", "")),
        )
        for each in items(answer)
    ]
    output.result(answer, table(rows, ("id", "blocked", "since", "reason")) if rows else "nothing is blocked")


def add(options: argparse.Namespace, output: Output) -> None:
    """Blocks a package, a version or a file; in force everywhere within seconds."""
    value: dict[str, Any] = {"reason": options.reason}
    if options.sha256:
        if options.protocol:
            raise WrongUse("--sha256 stands alone: it names one file, whatever it is called")
        if not is_sha256(options.sha256.lower()):
            raise WrongUse("--sha256: expected 64 hexadecimal digits")
        value["sha256"] = options.sha256.lower()
    elif options.protocol in PROTOCOLS and options.name:
        value |= {"protocol": options.protocol, "name": options.name}
        value |= {"version": options.version} if options.version else {}
    elif options.protocol and options.protocol not in PROTOCOLS and not options.name:
        value["of"] = options.protocol
    else:
        told = "blocks add: name a package URL, a PROTOCOL and PACKAGE, or --sha256"
        raise WrongUse(told, "`orchard blocks add --help`")
    made = connect(options).call("POST", PATH, value=value, offers=OFFERS, admin=True)
    output.result(made, f"blocked {what(made)}")


def remove(options: argparse.Namespace, output: Output) -> None:
    """Lifts a block."""
    if not re.fullmatch(r"[0-9]{1,18}", options.id):
        raise WrongUse(f"blocks remove: {options.id[:80]!r} is no ID", "`orchard blocks list` shows them.")
    answer = connect(options).call("DELETE", f"{PATH}/{options.id}", offers=OFFERS, admin=True)
    output.result(answer if answer is not None else {"removed": options.id}, f"block {options.id} is lifted")


def what(block: dict[str, Any]) -> str:
    """What a block is about, in words."""
    if block.get("sha256"):
        return f"sha256 {block['sha256']}"
    version = block.get("version")
    return f"{block.get('protocol')} {block.get('name')}{f' {version}' if version else ''}"
