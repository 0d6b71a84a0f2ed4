"""`orchard backup` and `orchard restore`: become `python -m services.standalone.backup`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NoReturn

from services.cli.output import Output
from services.cli.programs import become


def make(options: argparse.Namespace, output: Output) -> NoReturn:
    """Does not return."""
    words = [*(["--quick"] if options.quick else []), *([f"--keep={options.keep}"] if options.keep else [])]
    _become("backup", "make", options, output, words)


def restore(options: argparse.Namespace, output: Output) -> NoReturn:
    """Does not return."""
    _become("restore", "restore", options, output, [f"--snapshot={options.snapshot}"])


def _become(
    command: str, what: str, options: argparse.Namespace, output: Output, words: list[str]
) -> NoReturn:
    folder = str(Path(options.folder).expanduser().absolute())  # from where the command was called
    words = [what, folder, *words, *(["--json"] if output.as_json else [])]
    become(command, "services.standalone.backup", words, options)
