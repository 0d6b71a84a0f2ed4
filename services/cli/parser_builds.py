"""`orchard build` and what belongs to it, on the command line."""

from __future__ import annotations

import argparse
from typing import Any

from services.cli.parts import Parser, command, group

_MORE = """\
examples
  orchard build exec --name app --seal -- make deps
  orchard build exec --build ID -- make deps          (from what was recorded, offline)
  orchard build start --name app --json
  orchard build seal ID
"""
_EXEC = """\
The command finds its registries by its environment, with empty caches of its own, so that all it needs is
asked for; docs/builds.md says which clients heed that.
"""


def add_to(commands: Any) -> None:
    """Add them to the command's list."""
    below = group(commands, "build", "record what a build gets, seal it, run it from that alone", more=_MORE)
    _named(command(below, "start", "start to record a build; print its id and address", "build:start"))
    parser = command(below, "exec", "run a command whose clients ask below a build", "build:run", more=_EXEC)
    _named(parser)
    parser.add_argument("--build", metavar="ID", default="", help="one that was started or sealed before")
    parser.add_argument("--seal", action="store_true", help="seal it if the command succeeds")
    parser.add_argument("words", metavar="-- COMMAND", nargs=argparse.REMAINDER, help="what to run")
    _id(command(below, "seal", "freeze what a build got", "build:seal"))
    _id(command(below, "show", "show a build and what it got", "build:show"))
    command(below, "list", "list builds (operator)", "build:listed")


def _named(parser: Parser) -> None:
    parser.add_argument("--name", metavar="NAME", default="", help="for people")
    parser.add_argument("--at", metavar="DATE", default="", help="see everything as it was then")


def _id(parser: Parser) -> None:
    parser.add_argument("build", metavar="ID", help="as `orchard build start` prints it")
