"""`orchard webhooks` on the command line."""

from __future__ import annotations

from typing import Any

from services.cli.parts import command, group, secrets


def add_to(commands: Any) -> None:
    """Add it to the command's list."""
    below = group(commands, "webhooks", "where events go (operator)")
    command(below, "list", "list webhooks, how they do and what waits for them", "webhooks:show")
    more = """\
examples
  orchard webhooks add alerts https://hooks.corp.example/orchard --type 'orchard.event.*'
  orchard webhooks add siem https://siem.corp.example/in --allow-private --secret-from SIEM_SECRET

Standard output is the secret that was made, alone; it is shown this once. docs/webhooks.md lists the
types and says how a receiver checks the signature.
"""
    parser = command(below, "add", "have events sent to an address", "webhooks:add", more=more)
    parser.add_argument("name", metavar="NAME", help="a name for it")
    parser.add_argument("address", metavar="ADDRESS", help="its http(s) address")
    parser.add_argument(
        "--type", metavar="TYPE", action="append", dest="types", default=[],
        help="only events of this type, or up to a * at the end (repeatable); all without it",
    )  # fmt: skip
    parser.add_argument("--mode", metavar="MODE", choices=("structured", "binary"), default="structured",
                        help="of CloudEvents over HTTP: structured (all is JSON) or binary")  # fmt: skip
    secrets(parser, "secret")
    parser.add_argument("--allow-private", action="store_true", help="it lies at a private address")
    for name, text, run in (
        ("test", "send a test event now and say how it was answered", "webhooks:test"),
        ("pause", "send nothing for a while; events wait", "webhooks:pause"),
        ("resume", "send again, what waits first", "webhooks:resume"),
        ("remove", "remove a webhook, and what waits for it", "webhooks:remove"),
    ):
        parser = command(below, name, text, run)
        parser.add_argument("name", metavar="NAME", help="its name, or its id")
