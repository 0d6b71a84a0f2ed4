"""Dates in HTTP headers, as strangers write them."""

from __future__ import annotations

import time
from datetime import UTC
from email.utils import parsedate_to_datetime


def unix_seconds(text: str) -> float:
    """A date of RFC 9110 §5.6.7 in unix seconds; 0 for none, for one that cannot be, and for the future."""
    try:
        when = parsedate_to_datetime(text.strip())
        seconds = (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return 0.0
    return seconds if 0 < seconds <= time.time() else 0.0
