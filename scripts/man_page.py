"""Prints docs/orchard.1, the manual page, from the command's own parsers."""

from __future__ import annotations

import argparse
import sys

from scripts.cli_page import COMMON, commands_of, word_of
from services.cli.parser import build_parser
from shared.version import VERSION


def main() -> None:
    """Write the page to standard output."""
    parser = build_parser()
    out = [
        f'.TH ORCHARD 1 "" "Orchard {VERSION}" "User commands"',
        ".SH NAME",
        f"orchard \\- {_text(str(parser.description)).rstrip('.')}",
        ".SH SYNOPSIS",
        ".B orchard",
        _text("[options] COMMAND ..."),
        ".SH OPTIONS OF EVERY COMMAND",
    ]
    for action in parser._actions:
        if set(action.option_strings) & {*COMMON, "--version"}:
            out += _option(action)
    out.append(".SH COMMANDS")
    for each in commands_of(parser):
        out += _command(each)
    out += _epilog(str(parser.epilog), ".SH")
    sys.stdout.write("\n".join(out) + "\n")


def _command(parser: argparse.ArgumentParser) -> list[str]:
    own = [each for each in parser._actions if not set(each.option_strings) & {"--help", *COMMON}]
    arguments = [
        each
        for each in own
        if not isinstance(each, argparse._SubParsersAction) and each.help != argparse.SUPPRESS
    ]
    words = [word_of(each) for each in arguments if not each.option_strings or each.required]
    if any(each.option_strings and not each.required for each in arguments):
        words.append("[options]")
    lines = [f'.SS "{_text(" ".join([parser.prog, *words]))}"', _text(str(parser.description))]
    for each in arguments:
        lines += _option(each)
    if parser.epilog:
        lines += _epilog(parser.epilog, ".PP")
    return lines


def _option(action: argparse.Action) -> list[str]:
    names = action.option_strings or [word_of(action)]
    value = f" \\fI{_text(str(action.metavar))}\\fR" if action.option_strings and action.metavar else ""
    shown = ", ".join(f"\\fB{_text(each)}\\fR{value if each.startswith('--') else ''}" for each in names)
    return [".TP", shown, _text(str(action.help or "show the version"))]


def _epilog(text: str, heading: str) -> list[str]:
    """Indented lines as they stand; a word alone in its line is a heading."""
    lines: list[str] = []
    kept = False
    for line in text.rstrip().splitlines():
        if line.startswith("  ") != kept:
            kept = not kept
            lines.append(".nf\n.RS" if kept else ".RE\n.fi")
        if heading == ".SH" and line and not kept and not line.endswith("."):
            lines.append(f".SH {_text(line.upper())}")
        else:
            lines.append(_text(line.strip()) if line else ".PP")
    return [*([".PP"] if heading == ".PP" else []), *lines, *([".RE\n.fi"] if kept else [])]


def _text(text: str) -> str:
    """With nothing in it that roff would take for its own."""
    plain = text.replace("\\", "\\e").replace("-", "\\-").replace('"', "\\(dq")
    return "\n".join(f"\\&{line}" if line.startswith((".", "'")) else line for line in plain.split("\n"))


if __name__ == "__main__":
    main()
