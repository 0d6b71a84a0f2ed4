"""`orchard doctor`: becomes `python -m services.standalone.doctor`."""

from __future__ import annotations

import argparse
from typing import NoReturn

from services.cli.output import Output
from services.cli.programs import become


def run(options: argparse.Namespace, output: Output) -> NoReturn:
    """Does not return."""
    become("doctor", "services.standalone.doctor", ["--json"] if output.as_json else [], options)
