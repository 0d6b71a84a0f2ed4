"""`orchard tokens`: who may read and who may administrate."""

from __future__ import annotations

import argparse
from urllib.parse import quote

from services.cli.commands.upstreams import items
from services.cli.errors import CommandFailed
from services.cli.output import Output, moment, table
from services.cli.server import connect

PATH = "/api/v1/admin/tokens"
OFFERS = "the administration of tokens"


def show(options: argparse.Namespace, output: Output) -> None:
    """Names, scopes and dates; the tokens themselves are not kept anywhere."""
    answer = connect(options).call("GET", PATH, offers=OFFERS, admin=True)
    rows = [
        (str(each.get("id", "")), str(each.get("name", "")), str(each.get("scope", "")),
         moment(each.get("created_at")), moment(each.get("last_used_at")))
        for each in items(answer)
    ]  # fmt: skip
    output.result(answer, table(rows, ("id", "name", "scope", "since", "last used")) if rows else "no tokens")


def create(options: argparse.Namespace, output: Output) -> None:
    """Prints the new token alone on standard output, so that it can be put into a variable."""
    value = {"name": options.name, "scope": options.scope}
    made = connect(options).call("POST", PATH, value=value, offers=OFFERS, admin=True)
    token = str(made.get("token", "")) if isinstance(made, dict) else ""
    if not token:
        raise CommandFailed("the server made no token")
    output.note(f"a {options.scope} token for {options.name}; it is shown this once:")
    output.result(made, token)


def revoke(options: argparse.Namespace, output: Output) -> None:
    """Ends a token by id or by its one name."""
    server = connect(options)
    known = items(server.call("GET", PATH, offers=OFFERS, admin=True))
    found = [each for each in known if options.id == str(each.get("id"))]
    found = found or [each for each in known if options.id == each.get("name")]
    if len(found) != 1:
        many = "several tokens have" if found else "there is no token of"
        raise CommandFailed(f"{many} the id or name {options.id[:80]!r}", "`orchard tokens list` shows them.")
    answer = server.call("DELETE", f"{PATH}/{quote(str(found[0]['id']), safe='')}", offers=OFFERS, admin=True)
    output.result(
        answer if answer is not None else {"revoked": found[0]["id"]}, f"revoked {found[0].get('name')}"
    )
