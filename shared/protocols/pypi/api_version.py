"""The version of the repository's API (PEP 629): which are understood, in whatever form they are told."""

from __future__ import annotations

import re
from typing import Any

from shared.errors import UpstreamInvalid

_VERSION = re.compile(r"([0-9]{1,9})(?:\.([0-9]{1,4}))?(?:\.[0-9]+)*")


def api_version(told: Any) -> str:
    """The version as "1.1", from text or number (home-made JSON has both); "" for what is none.

    Raises `UpstreamInvalid` for a major version above 1: never guess at 2.0.
    """
    text = told.strip() if isinstance(told, str) else str(told) if type(told) in (int, float) else ""
    found = _VERSION.fullmatch(text)
    if found is None:
        return ""
    if int(found[1]) > 1:
        raise UpstreamInvalid(
            f"the upstream's index has API version {text[:20]}, and Orchard reads version 1 only"
        )
    return f"1.{int(found[2] or 0)}"
