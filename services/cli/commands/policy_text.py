"""Rules of the policy file as text: a table for people, and the file itself."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from services.cli.output import table

_ABOUT = ("protocols", "names", "sources")
_MADE = ("since", "format", "popular")  # when the rule was applied: no file says it
_SHOWN = 3  # of what a rule is about, and of each list that it asks for
_WIDEST = 80  # characters of a cell
_LONGEST_LINE = 100
_FROM_BEFORE = """\
# Applied by a version that did not keep names as they were written: they stand here with the spellings of all
# protocols. Better apply the file that this came from.
"""


def as_table(rules: list[dict[str, Any]]) -> str:
    """One line for each rule; "" for none. Long lists are counted, `as_toml` has all of them."""
    rows = []
    for each in rules:
        asks = {
            key: value
            for key, value in each.items()
            if key not in (*_ABOUT, *_MADE, "name", "action", "reason")
        }
        scope = _few([str(name) for key in _ABOUT for name in each.get(key, ())]) or "all"
        kind = "; ".join(f"{key} = {_brief(value)}" for key, value in asks.items())
        rows.append((str(each["name"]), cut(scope), cut(kind), str(each.get("action", "hold"))))
    return table(rows, ("rule", "about", "asks", "then")) if rows else ""


def as_toml(rules: Iterable[dict[str, Any]]) -> str:
    """The policy file that says the same."""
    tables, is_old = [], False
    for each in rules:
        is_old = is_old or (not each.get("format") and bool(each.get("names") or each.get("typo_of")))
        lines = [f"{key} = {_value(value)}" for key, value in each.items() if key not in _MADE]
        tables.append("\n".join(("[[rule]]", *lines, "")))
    return "\n".join(([_FROM_BEFORE] if is_old else []) + tables)


def cut(text: str, widest: int = _WIDEST) -> str:
    """At most so many characters, and whether there were more."""
    return text if len(text) <= widest else f"{text[: widest - 1]}…"


def _few(words: list[str]) -> str:
    more = f" and {len(words) - _SHOWN} more" if len(words) > _SHOWN else ""
    return ", ".join(words[:_SHOWN]) + more


def _brief(value: Any) -> str:
    if isinstance(value, list):
        return f"[{_few([_value(each) for each in value])}]"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_brief(each)}" for key, each in value.items())
    return _value(value)


def _value(value: Any) -> str:
    """As TOML 1.0 writes it, whose strings escape what JSON's do, and U+007F."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_value(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        found = [_value(each) for each in value]
        line = f"[{', '.join(found)}]"
        return line if len(line) <= _LONGEST_LINE else "[\n" + "".join(f"    {e},\n" for e in found) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
