"""`orchard up`: becomes `python -m services.standalone`, as `make run` does."""

from __future__ import annotations

import argparse
from typing import NoReturn

from services.cli.output import Output
from services.cli.programs import become


def run(options: argparse.Namespace, output: Output) -> NoReturn:
    """Does not return: the process becomes the supervisor, which then gets the signals itself."""
    words = [f"--{name}={getattr(options, name)}" for name in ("gateways", "fetchers", "extractors")]
    become("up", "services.standalone", words, options)
