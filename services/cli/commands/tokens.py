"""`orchard tokens`: who may read and who may administer."""

from __future__ import annotations

import argparse
from typing import Any
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
         moment(each.get("created_at")), moment(each.get("last_used_at")),
         moment(each.get("expires_at")) if each.get("expires_at") else "never", _bounds(each))
        for each in items(answer)
    ]  # fmt: skip
    output.result(
        answer,
        table(rows, ("id", "name", "scope", "since", "last used", "expires", "for")) if rows else "no tokens",
    )


def create(options: argparse.Namespace, output: Output) -> None:
    """Prints the new token alone on standard output, so that it can be put into a variable."""
    value: dict[str, Any] = {"name": options.name, "scope": options.scope}
    for name in ("owner", "expires", "networks", "protocols", "names"):  # an older server knows none of them
        if given := getattr(options, name):
            value[name] = given
    made = connect(options).call("POST", PATH, value=value, offers=OFFERS, admin=True)
    _print(made, output)


def rotate(options: argparse.Namespace, output: Output) -> None:
    """Prints the token that takes the place of one."""
    server = connect(options)
    known = _found(options.id, items(server.call("GET", PATH, offers=OFFERS, admin=True)))
    path = f"{PATH}/{quote(str(known['id']), safe='')}/rotate"
    _print(server.call("POST", path, value={"expires": options.expires}, offers=OFFERS, admin=True), output)


def _print(made: Any, output: Output) -> None:
    token = str(made.get("token", "")) if isinstance(made, dict) else ""
    if not token:
        raise CommandFailed("the server made no token")
    output.note(f"a {made.get('scope')} token for {made.get('name')}; it is shown this once:")
    output.result(made, token)


def _bounds(token: dict[str, Any]) -> str:
    fields = [*(token.get("protocols") or ()), *(token.get("names") or ())]
    fields += [f"from {each}" for each in token.get("networks") or ()]
    return ", ".join(map(str, fields)) or "all"


def _found(wanted: str, known: list[dict[str, Any]]) -> dict[str, Any]:
    found = [each for each in known if wanted == str(each.get("id"))]
    found = found or [each for each in known if wanted == each.get("name")]
    if len(found) != 1:
        many = "several tokens have" if found else "there is no token of"
        raise CommandFailed(f"{many} the id or name {wanted[:80]!r}", "`orchard tokens list` shows them.")
    return found[0]


def revoke(options: argparse.Namespace, output: Output) -> None:
    """Ends a token by id or by its one name."""
    server = connect(options)
    found = _found(options.id, items(server.call("GET", PATH, offers=OFFERS, admin=True)))
    answer = server.call("DELETE", f"{PATH}/{quote(str(found['id']), safe='')}", offers=OFFERS, admin=True)
    output.result(answer if answer is not None else {"revoked": found["id"]}, f"revoked {found.get('name')}")
