"""`orchard sweep`: becomes `python -m services.standalone.maintenance`."""

from __future__ import annotations

import argparse
from typing import NoReturn

from services.cli.commands.up import become
from services.cli.output import Output


def run(options: argparse.Namespace, output: Output) -> NoReturn:
    """Does not return."""
    words = [f"--{name}" for name in ("evict", "delete") if getattr(options, name)]
    become("sweep", "services.standalone.maintenance", words, options)
