"""`orchard help [COMMAND]`: what `--help` says there; `orchard version`."""

from __future__ import annotations

import argparse

from services.cli.output import Output
from services.cli.parser import build_parser
from shared.version import VERSION


def run(options: argparse.Namespace, output: Output) -> None:
    """Ends the process: 0, or 2 where no such command is."""
    build_parser().parse_args([*options.words, "--help"])


def version(options: argparse.Namespace, output: Output) -> None:
    """This command's, not that of an Orchard: `orchard status` has that."""
    output.result({"version": VERSION}, f"orchard {VERSION}")
