"""`orchard help [COMMAND]`: what `--help` says there."""

from __future__ import annotations

import argparse

from services.cli.output import Output
from services.cli.parser import build_parser


def run(options: argparse.Namespace, output: Output) -> None:
    """Ends the process: 0, or 2 where no such command is."""
    build_parser().parse_args([*options.words, "--help"])
