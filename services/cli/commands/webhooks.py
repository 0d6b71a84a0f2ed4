"""`orchard webhooks`: where events go.

A secret comes from a variable or standard input, or is made and shown once.
"""

from __future__ import annotations

import argparse
from typing import Any

from services.cli.commands.upstreams import items, read_secret
from services.cli.errors import CommandFailed, Exit
from services.cli.output import Output, moment, table
from services.cli.server import Server, connect

PATH = "/api/v1/admin/webhooks"
OFFERS = "webhooks"


def show(options: argparse.Namespace, output: Output) -> None:
    """Each webhook: how it is with it, what waits, where it leads."""
    answer = connect(options).call("GET", PATH, offers=OFFERS, admin=True)
    rows = [
        (
            str(each.get("name")),
            _state(each),
            str(each.get("waiting")),
            str(each.get("delivered")),
            str(each.get("dropped")),
            ", ".join(each.get("types") or ()),
            str(each.get("url")),
        )
        for each in items(answer)
    ]
    heads = ("name", "state", "waiting", "delivered", "dropped", "types", "address")
    output.result(answer, table(rows, heads) if rows else "no webhooks")


def add(options: argparse.Namespace, output: Output) -> None:
    """Prints the secret alone on standard output where one is made."""
    value: dict[str, Any] = {
        "name": options.name,
        "url": options.address,
        "types": options.types or ["*"],
        "secret": read_secret(options.secret_from, "--secret-from"),
        "mode": options.mode,
        "allow_private": options.allow_private,
    }
    made = connect(options).call("POST", PATH, value=value, offers=OFFERS, admin=True)
    tested = f"`orchard webhooks test {options.name}` sends one event"
    if made.get("secret"):
        output.note(f"added {options.name}; {tested}; its secret is shown this once:")
        output.result(made, made["secret"])
    else:
        output.result(made, f"added {options.name}; {tested}")


def test(options: argparse.Namespace, output: Output) -> Exit:
    """0 if the receiver took a test event, 1 if not."""
    server = connect(options)
    found = _found(server, options.name)
    said = server.call("POST", f"{PATH}/{found['id']}/test", offers=OFFERS, admin=True)
    state = "took the event" if said.get("ok") else "did not take the event"
    seconds = f" in {said['seconds']:.2f} s" if isinstance(said.get("seconds"), int | float) else ""
    output.result(said, f"{found['name']} {state}{seconds}: {said.get('detail')}")
    return Exit.DONE if said.get("ok") else Exit.FAILED


def pause(options: argparse.Namespace, output: Output) -> None:
    """What happens meanwhile waits."""
    _change(options, output, paused=True)


def resume(options: argparse.Namespace, output: Output) -> None:
    """What waits is delivered."""
    _change(options, output, paused=False)


def remove(options: argparse.Namespace, output: Output) -> None:
    """With what waits for it."""
    server = connect(options)
    found = _found(server, options.name)
    answer = server.call("DELETE", f"{PATH}/{found['id']}", offers=OFFERS, admin=True)
    output.result(answer, f"removed {found['name']}")


def _change(options: argparse.Namespace, output: Output, *, paused: bool) -> None:
    server = connect(options)
    found = _found(server, options.name)
    made = server.call("PATCH", f"{PATH}/{found['id']}", value={"paused": paused}, offers=OFFERS, admin=True)
    output.result(made, f"{found['name']} {'is paused' if paused else 'gets events again'}")


def _state(webhook: dict[str, Any]) -> str:
    why = {"operator": "paused", "dead": "paused: dead", "gone": "paused: gone (410)"}
    state = why.get(str(webhook.get("paused")), "in use")
    if webhook.get("fault"):
        since = webhook.get("failing_since")
        state += f", failing{f' since {moment(since)}' if since else ''}: {webhook['fault']}"
    return state


def _found(server: Server, wanted: str) -> dict[str, Any]:
    known = items(server.call("GET", PATH, offers=OFFERS, admin=True))
    for each in known:
        if wanted in (each.get("name"), str(each.get("id"))):
            return each
    raise CommandFailed(f"there is no webhook {wanted[:80]!r}", "`orchard webhooks list` shows them.")
