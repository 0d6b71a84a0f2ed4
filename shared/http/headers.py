"""Tolerant parsers of HTTP fields: Accept (RFC 9110 §12.5.1) and dates."""

from __future__ import annotations

import re
import time
from datetime import UTC
from email.utils import parsedate_to_datetime


def media_ranges(header: str) -> dict[str, float]:
    """Media ranges in lower case with their q-values; elements that are malformed are left out."""
    ranges: dict[str, float] = {}
    for element in header.split(","):
        media, *parameters = element.split(";")
        media = media.strip().lower()
        kind, slash, subtype = media.partition("/")
        if not slash or not kind or not subtype or (kind == "*" and subtype != "*"):
            continue
        quality: float | None = 1.0
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            if key.strip().lower() == "q":
                quality = _quality(value.strip())
        if quality is not None:
            ranges[media] = max(quality, ranges.get(media, 0.0))
    return ranges


def _quality(text: str) -> float | None:
    """A q-value (RFC 9110 §12.4.2): 0 to 1, or None for anything else."""
    if not text or len(text) > 8 or not all(character in "0123456789." for character in text):
        return None
    try:
        quality = float(text)
    except ValueError:
        return None
    return quality if quality <= 1.0 else None


# What a server without a date sends; the standard library reads it as 2001.
_YEAR_1 = re.compile(r" 00[0-9]{2} ")


def date_seconds(text: str) -> float | None:
    """A date of RFC 9110 §5.6.7 in unix seconds; None for none, and for one that cannot be."""
    if _YEAR_1.search(text):
        return None
    try:
        when = parsedate_to_datetime(text.strip())
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):  # what the standard library raises on some
        return None


def unix_seconds(text: str) -> float:
    """The same of something that has happened; 0 for none, and for one of the future."""
    seconds = date_seconds(text) or 0.0
    return seconds if 0 < seconds <= time.time() else 0.0
