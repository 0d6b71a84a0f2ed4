"""The `orchard` command: reads the command line, runs one command, turns what happened into an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from services.cli.errors import CommandFailed, Exit, WrongUse
from services.cli.output import Output, forget_output, say
from services.cli.parser import build_parser
from shared.settings_file import put_into


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Returns an `Exit`."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    output = Output(as_json="--json" in given[: given.index("--") if "--" in given else None])
    try:
        options = build_parser().parse_args(given)
        if not getattr(options, "run", ""):
            (getattr(options, "group", None) or build_parser()).print_help(sys.stderr)
            return Exit.USAGE
        output = Output(as_json=options.json, quiet=options.quiet)
        _read_settings_file()
        return int(_command(options.run)(options, output) or Exit.DONE)
    except CommandFailed as error:
        output.failure(error)
        return error.exit_code
    except KeyboardInterrupt:
        say("orchard: interrupted")
        return Exit.INTERRUPTED
    except BrokenPipeError:
        forget_output()
        return Exit.BROKEN_PIPE


def _read_settings_file() -> None:
    try:
        put_into(os.environ)
    except ValueError as error:
        raise WrongUse(str(error)) from None


def _command(name: str) -> Any:
    module, _, function = name.partition(":")
    return getattr(import_module(f"services.cli.commands.{module}"), function)
