"""`orchard sweep`: becomes `python -m services.standalone.maintenance`."""

from __future__ import annotations

import argparse
from typing import NoReturn

from services.cli.output import Output
from services.cli.programs import become


def run(options: argparse.Namespace, output: Output) -> NoReturn:
    """Does not return."""
    words = [f"--{name}" for name in ("evict", "delete") if getattr(options, name)]
    become("sweep", "services.standalone.maintenance", words, options)
