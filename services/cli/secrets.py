"""Secrets that a command passes on: from a variable or standard input, never from the command line."""

from __future__ import annotations

import os
import sys

from services.cli.errors import WrongUse


def read_secret(variable: str, option: str) -> str:
    """The secret that `--option VARIABLE` names, "" if none was named. Raises `WrongUse`."""
    if not variable:
        return ""
    if variable == "-":
        if sys.stdin.isatty():
            import getpass

            secret = getpass.getpass(f"{option.removeprefix('--').removesuffix('-from')}: ")
        else:
            secret = sys.stdin.readline().rstrip("\r\n")
    else:
        secret = os.environ.get(variable, "")
    if not secret:
        where = "standard input" if variable == "-" else f"the variable {variable[:60]}"
        # Who writes the secret itself in the name's place must not find it in a log.
        if variable != "-" and not variable.isidentifier():
            where = "what was named"
        raise WrongUse(f"{option}: {where} holds nothing", f"{option} takes the NAME of a variable, or '-'.")
    return secret
