"""`orchard exempt`: what no rule holds back; `orchard why`: what a rule says of a package."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from services.cli.commands.upstreams import items
from services.cli.errors import NotOffered, WrongUse
from services.cli.output import Output, moment, table
from services.cli.server import connect

PATH = "/api/v1/admin/exemptions"
OFFERS = "exemptions"
SHOWN = 100  # versions or files that `why` prints


def show(options: argparse.Namespace, output: Output) -> None:
    """All exemptions with reason and end."""
    answer = connect(options).call("GET", PATH, offers=OFFERS, admin=True)
    rows = [
        (
            str(each.get("id")),
            str(each.get("what")),
            moment(each.get("expires_at")) if each.get("expires_at") else "never",
            "yes" if each.get("covers_malware") else "",
            str(each.get("created_by", "")),
            str(each.get("reason", "")),
        )
        for each in items(answer)
    ]
    heads = ("id", "exempt", "until", "malware too", "by", "reason")
    output.result(answer, table(rows, heads) if rows else "nothing is exempt")


def add(options: argparse.Namespace, output: Output) -> None:
    """Exempts a package, a version or a file; in force everywhere within a second."""
    value = {"of": options.what, "reason": options.reason, "expires": options.expires, **also(options)}
    made = connect(options).call("POST", PATH, value=value, offers=OFFERS, admin=True)
    output.result(made, let_in(options.what, "is exempt", made))
    output.note(
        "A client that keeps pages itself sees it in up to five minutes, or asks anew with --prefer-online."
    )


def also(options: argparse.Namespace) -> dict[str, bool]:
    """--yes; a server of before knows no such field."""
    return {"yes": True} if options.yes else {}


def let_in(what: str, done: str, made: Mapping[str, Any]) -> str:
    """What is true once it was let in."""
    parts = [f"{what} {done}"]
    if made.get("was_held") is False:
        parts.append("it was not held")
    if made.get("malware"):
        parts.append(f"it is malware: {made['malware']}")
    text = "; ".join(parts)
    return f"{text}\nbut it is refused still: {made['refused']}" if made.get("refused") else text


def remove(options: argparse.Namespace, output: Output) -> None:
    """Ends an exemption, by its id or by what it is of."""
    server = connect(options)
    found = [options.what]
    if not re.fullmatch(r"[0-9]{1,18}", options.what):
        try:
            query = {"of": options.what}
            known = items(server.call("GET", f"{PATH}/of", query=query, offers=OFFERS, admin=True))
        except NotOffered:  # an older one: by its own spelling alone
            listed = items(server.call("GET", PATH, offers=OFFERS, admin=True))
            known = [each for each in listed if each.get("what") == options.what]
        found = [str(each["id"]) for each in known]
    if not found:
        raise WrongUse(
            f"exempt remove: {options.what[:200]} is not exempt", "`orchard exempt list` shows what is."
        )
    for each in found:
        server.call("DELETE", f"{PATH}/{each}", offers=OFFERS, admin=True)
    output.result({"removed": found}, f"{options.what} is exempt no more")


def why(options: argparse.Namespace, output: Output) -> None:
    """The verdict of each file of a version; without a version, all that is held back or warned of."""
    answer = connect(options).call("GET", f"/api/v1/why?of={quote(options.purl, safe='')}", offers="verdicts")
    rows = [_row(each) for each in items(answer)]
    heads = ("", "package", "rule", "why")
    told = answer if isinstance(answer, dict) else {}
    known = f"{told.get('versions', 0)} known"
    known += f", from source {told['source']}" if told.get("source") else ""
    output.result(
        answer,
        f"{table(rows[:SHOWN], heads)}\n{known}"
        if rows
        else f"nothing of {options.purl} is held back ({known})",
    )
    if len(rows) > SHOWN:
        output.note(f"these are the first {SHOWN} of {len(rows)}, the newest first; --json has all")


def _row(each: dict[str, Any]) -> tuple[str, str, str, str]:
    return (
        "served" if each.get("allowed") else "refused",
        str(each.get("what")),
        str(each.get("rule") or "-"),
        "; ".join(_told(each)) or "-",
    )


def _told(each: dict[str, Any]) -> Iterator[str]:
    """Why, or else when it was published; what warns of it; by whom it is, where that is asked for."""
    warnings = each.get("warnings") or ()
    if each.get("why"):
        yield str(each["why"])
    elif each.get("published") and not warnings:
        yield f"published {moment(each['published'])}"
    if each.get("first_sight"):
        yield "the upstream tells no date: counted from first sight (its source's option ages=off ends it)"
    yield from (f"warning: {text}" for text in warnings)
    provenance = each.get("provenance") or {}
    if provenance.get("status") == "verified" and each.get("rule") != "trust":
        yield f"by {provenance.get('repository')} ({provenance.get('kind')}, {provenance.get('workflow')})"
    elif provenance:
        yield f"provenance: {provenance.get('status')}"
