"""Signed JSON as it must be, so that all readers read the same: UTF-8, each name once, numbers that are some
(RFC 8259; I-JSON, RFC 7493 §2). Of the standard library alone."""

from __future__ import annotations

import json
import math
from typing import Any

from shared.tlog.trees import Unproven


def read_document(data: bytes, what: str) -> dict[str, Any]:
    """An object. Raises `Unproven`, which names it (`what`)."""
    try:
        text = data.decode()
        found = json.loads(text, object_pairs_hook=_once, parse_constant=_none, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise Unproven(f"{what} is JSON: {error}") from None
    if not isinstance(found, dict):
        raise Unproven(f"{what} is a JSON object")
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is there twice")
    return found


def _none(text: str) -> None:
    raise ValueError(f"{text} is no number")


def _finite(text: str) -> float:
    found = float(text)
    if not math.isfinite(found):
        raise ValueError(f"{text[:40]} is no number")
    return found
