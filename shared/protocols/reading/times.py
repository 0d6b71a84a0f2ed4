"""Moments as upstreams write them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any


def unix_seconds(text: Any) -> float:
    """Of an RFC 3339 moment, UTC where it names no zone; 0 for anything else, and for all before 1970."""
    if not isinstance(text, str):
        return 0.0
    try:
        moment = datetime.fromisoformat(text)
        return max(0.0, (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError):
        return 0.0
