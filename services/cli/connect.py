"""From options to the server that a command speaks to."""

from __future__ import annotations

import argparse
import os

from services.cli.server import Server
from services.cli.target import choose_target


def connect(options: argparse.Namespace) -> Server:
    """The server that --url or the environment names. Raises `WrongUse` for what is no address."""
    return Server(choose_target(options.url, os.environ))
