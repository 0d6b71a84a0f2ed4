"""Prints which tests failed in pytest's last run, one each line."""

from __future__ import annotations

import json
import sys
from pathlib import Path

LAST = Path(__file__).parents[1] / ".pytest_cache" / "v" / "cache" / "lastfailed"

if __name__ == "__main__":
    failed = json.loads(LAST.read_text()) if LAST.is_file() else {}
    sys.stdout.write("".join(f"{name}\n" for name in failed))
