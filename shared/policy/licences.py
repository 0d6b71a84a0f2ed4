"""Licences by SPDX expressions (SPDX specification, annex B), as publishers write them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from shared.policy import late

LONGEST = 500  # characters of an expression: those of real packages have some dozens
MOST_TERMS = 50


class Unreadable(ValueError):
    """It is no SPDX expression."""


@lru_cache(4096)
def _parsed(text: str) -> Any:
    if not text or len(text) > LONGEST or text.count("(") + text.upper().count(" OR ") > MOST_TERMS:
        raise Unreadable(text[:80])
    licensing = late.spdx()
    try:
        return licensing.parse(text, validate=True, strict=True)
    except Exception as error:  # publishers write it, and its parser raises other things than its own too
        raise Unreadable(text[:80]) from error


def name_of(text: str) -> str:
    """One spelling of a licence or an expression: "GPL-3.0" is "gpl-3.0-only". Raises `Unreadable` for what
    is none, or names a licence that SPDX does not know."""
    return str(_parsed(text)).lower()


def spelt(text: str) -> str:
    """The expression as SPDX spells its licences. Raises `Unreadable`."""
    return str(_parsed(text))


def allows(text: str, allowed: Iterable[str], denied: Iterable[str]) -> bool:
    """Whether somebody who takes `allowed` licences (all, if there are none) and none of `denied` can take
    this: of an OR one side is enough, of an AND both are needed. Raises `Unreadable`."""
    return _allows(_parsed(text), frozenset(map(name_of, allowed)), frozenset(map(name_of, denied)))


def _allows(node: Any, wanted: frozenset[str], refused: frozenset[str]) -> bool:
    kind = type(node).__name__
    if kind == "OR":
        return any(_allows(each, wanted, refused) for each in node.args)
    if kind == "AND":
        return all(_allows(each, wanted, refused) for each in node.args)
    # Of "GPL-2.0-only WITH Classpath-exception-2.0" the licence counts too: an exception only adds to it.
    names = {str(node).lower(), str(getattr(node, "license_symbol", node)).lower()}
    return not names & refused and (not wanted or bool(names & wanted))
