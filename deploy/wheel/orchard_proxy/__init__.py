"""The only import name of Orchard's wheel. Its code lies in `tree/`, on our own processes' path alone."""

from __future__ import annotations

import sys
from pathlib import Path

TREE = str(Path(__file__).resolve().with_name("tree"))


def main() -> int:
    """The `orchard` command. Its modules are found before a stranger's of the same names."""
    sys.path.insert(0, TREE)
    from services.cli.main import main as command

    return command()
