"""Dates in HTTP headers, as strangers write them."""

from __future__ import annotations

import time
from datetime import UTC
from email.utils import parsedate_to_datetime


def date_seconds(text: str) -> float | None:
    """A date of RFC 9110 §5.6.7 in unix seconds; None for none, and for one that cannot be."""
    try:
        when = parsedate_to_datetime(text.strip())
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):  # what the standard library raises on some
        return None


def unix_seconds(text: str) -> float:
    """The same of something that has happened; 0 for none, and for one of the future."""
    seconds = date_seconds(text) or 0.0
    return seconds if 0 < seconds <= time.time() else 0.0
