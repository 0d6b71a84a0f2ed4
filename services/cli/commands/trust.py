"""`orchard trust`: whose identity tokens are exchanged for tokens to read with."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any
from urllib.parse import quote

from services.cli.commands.upstreams import items
from services.cli.errors import CommandFailed, WrongUse
from services.cli.output import Output, moment, table
from services.cli.server import connect

PATH = "/api/v1/admin/trust"
OFFERS = "rules for identity tokens"


def show(options: argparse.Namespace, output: Output) -> None:
    """Each rule on a line."""
    answer = connect(options).call("GET", PATH, offers=OFFERS, admin=True)
    rows = [
        (str(each.get("id", "")), str(each.get("name", "")), str(each.get("issuer", "")),
         str(each.get("audience", "")), _claims(each), _packages(each), _since(each))
        for each in items(answer)
    ]  # fmt: skip
    heads = ("id", "name", "issuer", "audience", "claims", "for", "since")
    output.result(answer, table(rows, heads) if rows else "no issuer is trusted")


def add(options: argparse.Namespace, output: Output) -> None:
    """In force within a second."""
    server = connect(options)
    claims: dict[str, list[str]] = {}
    for each in options.claims:
        name, equals, pattern = each.partition("=")
        if not (name and equals and pattern):
            raise WrongUse(f"--claim: expected NAME=PATTERN, not {each[:80]!r}")
        claims.setdefault(name, []).append(pattern)
    value: dict[str, Any] = {
        "name": options.name,
        "issuer": options.issuer,
        "audience": options.audience or server.target.base,
        "claims": claims,
        "protocols": options.protocols,
        "names": options.names,
    }
    if options.keys:
        try:
            value["keys"] = Path(options.keys).read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise WrongUse(f"--keys: {options.keys} cannot be read: {error}") from None
    made = server.call("POST", PATH, value=value, offers=OFFERS, admin=True)
    output.result(made, f"tokens of {options.issuer} for {value['audience']} are exchanged")


def remove(options: argparse.Namespace, output: Output) -> None:
    """By id or by name."""
    server = connect(options)
    known = items(server.call("GET", PATH, offers=OFFERS, admin=True))
    found = next((each for each in known if options.id in (str(each.get("id")), each.get("name"))), None)
    if found is None:
        raise CommandFailed(
            f"there is no trust rule of the id or name {options.id[:80]!r}",
            "`orchard trust list` shows them.",
        )
    if not found.get("id"):
        raise CommandFailed(f"{found.get('name')} is of ORCHARD_TRUSTED_CI", "Take it out of the settings.")
    path = f"{PATH}/{quote(str(found.get('id')), safe='')}"
    answer = server.call("DELETE", path, offers=OFFERS, admin=True)
    output.result(answer, f"{found.get('name')} is trusted no more")


def _claims(rule: dict[str, Any]) -> str:
    claims = rule.get("claims") or {}
    return " ".join(f"{name}={'|'.join(map(str, globs))}" for name, globs in claims.items())


def _packages(rule: dict[str, Any]) -> str:
    return ", ".join(map(str, [*(rule.get("protocols") or ()), *(rule.get("names") or ())])) or "all"


def _since(rule: dict[str, Any]) -> str:
    return moment(rule.get("created_at")) if rule.get("id") else "the settings"
