"""`orchard doctor`: becomes `python -m services.standalone.doctor`."""

from __future__ import annotations

import argparse
import os
from typing import NoReturn

from services.cli.output import Output
from services.cli.programs import become


def run(options: argparse.Namespace, output: Output) -> NoReturn:
    """Does not return."""
    words = ["--json"] if output.as_json else []
    if url := os.environ.get("ORCHARD_URL", ""):  # a setting of this command, which a server does not know
        words.append(f"--url={url}")
    become("doctor", "services.standalone.doctor", words, options)
