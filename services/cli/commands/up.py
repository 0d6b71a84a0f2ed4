"""`orchard up`: becomes `python -m services.standalone`, as `make run` does."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from typing import NoReturn

from services.cli.errors import CommandFailed, WrongUse
from services.cli.output import Output
from services.cli.target import ROOT, data_folder

# For the command alone: what the services do not need they are not given.
_OF_THE_COMMAND = ("ORCHARD_URL", "ORCHARD_TOKEN")


def run(options: argparse.Namespace, output: Output) -> NoReturn:
    """Does not return: the process becomes the supervisor, which then gets the signals itself."""
    if options.url:
        raise WrongUse("up: --url has no meaning here", "ORCHARD_HOST and ORCHARD_PORT say where it listens.")
    if not (ROOT / "services" / "standalone").is_dir():
        raise CommandFailed("the standalone Orchard is not installed here", "Use a checkout of Orchard.")
    words = [sys.executable, "-m", "services.standalone"]
    for name in ("gateways", "fetchers", "extractors"):
        words += [f"--{name}", str(getattr(options, name))]
    chosen = environment(os.environ)
    os.chdir(ROOT)
    os.execve(sys.executable, words, chosen)  # noqa: S606 - no shell is wanted


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The supervisor's: a relative ORCHARD_DATA_DIR is meant from where the command was called."""
    kept = {name: value for name, value in environ.items() if name not in _OF_THE_COMMAND}
    return kept | {"ORCHARD_DATA_DIR": str(data_folder(environ))}
