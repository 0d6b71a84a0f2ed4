"""Retry-After of what an upstream answered: the one reader of it."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping

from shared.clients.http_dates import date_seconds

MAX_RETRY_AFTER_SECONDS = 600
"""What is asked for beyond this is cut: a mistake upstream must not close anything for hours, and one
more question every ten minutes is no burden."""

_SECONDS = re.compile(r"(\d{1,400})(?:\.\d{0,400})?", re.ASCII)


def retry_after_seconds(headers: Mapping[str, str], now: float | None = None) -> int:
    """Seconds that Retry-After asks for, either form of RFC 9110 §10.2.3, `MAX_RETRY_AFTER_SECONDS` at
    most; 0 if it is absent, over, or says nothing that can be understood.

    A fraction is rounded up. `now` is the Unix time that a date is compared with.
    """
    text = headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(text):
        return math.ceil(min(float(text), MAX_RETRY_AFTER_SECONDS))
    when = date_seconds(text)
    if when is None:
        return 0
    left = when - (time.time() if now is None else now)
    return math.ceil(max(0.0, min(left, float(MAX_RETRY_AFTER_SECONDS))))
