"""Which versions of the API (PEP 629) are understood, in JSON and in HTML, however they are written."""

from __future__ import annotations

import re
from typing import Any

from shared.errors import UpstreamInvalid
from shared.protocols.reading.links import Dropped

_VERSION = re.compile(r"([0-9]{1,9})(?:\.([0-9]{1,4}))?(?:\.[0-9]+)*")


def api_version(declared: Any) -> str:
    """The version as "1.1", from text or number (home-made JSON has both); "" for what is none.

    Raises `UpstreamInvalid` for a major version above 1: never guess at 2.0.
    """
    text = (
        declared.strip()
        if isinstance(declared, str)
        else str(declared)
        if type(declared) in (int, float)
        else ""
    )
    found = _VERSION.fullmatch(text)
    if found is None:
        return ""
    if int(found[1]) > 1:
        raise UpstreamInvalid(
            f"the upstream's index has API version {text[:20]}, and Orchard reads version 1 only"
        )
    return f"1.{int(found[2] or 0)}"


def check_meta(page: dict[str, Any], dropped: Dropped) -> None:
    """PEP 629: a major version above 1 must be refused. A missing one is 1.0 (older servers), and so is
    one that is no version: no client minds."""
    meta = page.get("meta")
    if not isinstance(meta, dict):
        meta = page["meta"] = {}
    declared = meta.get("api-version")
    meta["api-version"] = version = api_version(declared) or "1.0"
    if declared != version and declared is not None:
        dropped.add("api-version is not a version", declared)
