"""Prints docs/cli.md from the command's own parsers, so that it says what `--help` says."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from services.cli.errors import Exit
from services.cli.parser import build_parser

SOURCE = Path(__file__).resolve().parent.parent / "services" / "cli" / "errors.py"
COMMON = ("--json", "--quiet", "--url")
HEAD = """\
# The `orchard` command

It works from any folder, needs nothing but Python's standard library (3.11 or newer), and speaks to a running
Orchard over [its API](api.md). Get it from

- the Orchard that you use: `curl -fsSO http://127.0.0.1:8080/orchard.pyz`, then `python3 orchard.pyz …`: one
  file, which speaks to where it came from unless told otherwise;
- the wheel (`make wheel`; [README](../README.md#install-it)), with its extra `server` for `orchard up`;
- a checkout: `make run` and `make test` put it into `.venv/bin`; link it into your `PATH` from there.

`orchard completion` prints completion for bash, zsh and fish. The wheel installs a manual page; here it is
[orchard.1](orchard.1).

| variable | |
|---|---|
| `ORCHARD_URL` | the Orchard to speak to; unset: where `orchard.pyz` came from, or this machine's |
| `ORCHARD_TOKEN` | a token to read with |
| `ORCHARD_ADMIN_TOKEN` | the operator's token |

Without a token for it, the command takes the one that a local Orchard wrote into its data folder
(`admin-token`), and sends that only to a gateway that proves to know it. Tokens are never arguments, are
never printed except by `orchard tokens create`, `rotate` and `exchange`, and do not follow redirects. Proxy
variables count for other hosts; `SSL_CERT_FILE` names the certificates of an authority of your own.

Results go to standard output, everything else to standard error: `--json` prints the API's answer and
nothing beside it, and a failure as one line `{"error": {…}}` on standard error. Every command takes:

| option | |
|---|---|
"""
CODES = """
## Exit codes

| code | |
|---|---|
"""
TAIL = """
This page is generated: `python -m scripts.cli_page > docs/cli.md`.
"""


def main() -> None:
    """Write the page to standard output."""
    parser = build_parser()
    out = [HEAD.rstrip()]
    out += [_row(action) for action in parser._actions if set(action.option_strings) & set(COMMON)]
    out.append(CODES.rstrip())
    comments = dict(re.findall(r"    ([A-Z_]+) = \d+  # (.+)", SOURCE.read_text()))
    out += [f"| {int(each)} | {comments[each.name]} |" for each in Exit]
    for each in commands_of(parser):
        out.append(_section(each))
    sys.stdout.write("\n".join(out) + "\n" + TAIL)


def commands_of(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Every command and group below it, in the order of `--help`."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for each in action.choices.values():
                yield each
                yield from commands_of(each)


def _section(parser: argparse.ArgumentParser) -> str:
    level = "#" * len(parser.prog.split())
    own = [each for each in parser._actions if not set(each.option_strings) & {"--help", *COMMON}]
    arguments = [
        each
        for each in own
        if not isinstance(each, argparse._SubParsersAction) and each.help != argparse.SUPPRESS
    ]
    lines = [f"\n{level} {parser.prog}\n", str(parser.description)]
    if arguments:
        words = [word_of(each) for each in arguments if not each.option_strings or each.required]
        rest = ["[options]"] if any(each.option_strings and not each.required for each in arguments) else []
        lines += ["", f"    {' '.join([parser.prog, *words, *rest])}", "", "| argument | |", "|---|---|"]
        lines += [_row(each) for each in arguments]
    elif not any(isinstance(each, argparse._SubParsersAction) for each in own):
        lines += ["", f"    {parser.prog}"]
    if parser.epilog:
        lines += ["", *_more(parser.epilog)]
    return "\n".join(lines)


def _more(text: str) -> list[str]:
    """Examples as code, everything else as it stands."""
    found: list[str] = []
    for line in text.rstrip().splitlines():
        if line.startswith("  "):
            found.append(f"    {line.strip()}")
        elif line == "examples":
            found += ["Examples:", ""]
        else:
            found.append(line)
    return found


def word_of(action: argparse.Action) -> str:
    """An argument or required option as a synopsis names it."""
    name = str(action.metavar or action.dest)
    if action.option_strings:
        return f"{action.option_strings[-1]} {name}"
    return {"?": f"[{name}]", "*": f"[{name}…]", "+": f"{name}…"}.get(str(action.nargs), name)


def _row(action: argparse.Action) -> str:
    names = action.option_strings or [word_of(action)]
    value = f" {action.metavar}" if action.option_strings and action.metavar else ""
    shown = ", ".join(f"`{each}{value if each.startswith('--') else ''}`" for each in names)
    return f"| {shown} | {str(action.help).replace('|', '/')} |"


if __name__ == "__main__":
    main()
