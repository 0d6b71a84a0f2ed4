"""Prints which tests failed in pytest's last run, one each line."""

from __future__ import annotations

import json
import sys
from pathlib import Path

LAST = Path(__file__).parents[1] / ".pytest_cache" / "v" / "cache" / "lastfailed"


def failed(last: Path = LAST) -> list[str]:
    """The names in pytest's own file of what failed last; none where nothing did."""
    return list(json.loads(last.read_text())) if last.is_file() else []


if __name__ == "__main__":
    sys.stdout.write("".join(f"{name}\n" for name in failed()))
