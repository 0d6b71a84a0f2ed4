"""`orchard doctor`: becomes `python -m services.standalone.doctor`."""

from __future__ import annotations

import argparse
from typing import NoReturn

from services.cli.commands.up import become
from services.cli.output import Output


def run(options: argparse.Namespace, output: Output) -> NoReturn:
    """Does not return."""
    become("doctor", "services.standalone.doctor", ["--json"] if output.as_json else [], options)
