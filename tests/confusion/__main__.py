"""`python -m tests.confusion`: the table, printed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

if __name__ == "__main__":
    sys.exit(pytest.main(["-q", "-s", "-p", "no:cacheprovider", str(Path(__file__).parent), *sys.argv[1:]]))
