"""What is wrong with a policy file, in the words of who writes one. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

import msgspec
from msgspec import inspect

from shared.policy.named import Licences, NamedRule

_TABLE = 'rules are tables that begin with a line "[[rule]]"'
_MADE: Mapping[str, str] = {
    "since": "it is made when a rule is applied; say `began`",
    "popular": 'it is made when a rule is applied; say `typo_of = ["*"]`',
    **dict.fromkeys(("format", "written", "meant"), "it is made when a rule is applied; say `names`"),
}
_KINDS: Mapping[type, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number with a point (1.0)",
    str: "a text",
    list: "a list of texts",
}
_NAME = re.compile(r"[A-Za-z_]\w*")
_TEXT = re.compile(r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*\"""")
_UNKNOWN = re.compile(r"Undefined variable or function: '([^']*)'")
_PLACE = re.compile(r"<input>:(\d+):(\d+): (.*)")
_SIGN = re.compile(r"'([^']*)'")


def wrong_fields(raw: Mapping[str, Any]) -> str:
    """The first field of a file (as TOML reads it) that is none, or has a value of another type; "" where all
    are right. Rows are read loosely, for an older process may read a newer one's; a file is not."""
    for key in raw:
        if key != "rule":
            return f"{key[:80]!r} stands outside of a rule: {_TABLE}"
    rules = raw.get("rule", [])
    if not isinstance(rules, list) or not all(isinstance(each, dict) for each in rules):
        return f"'rule' is no list of rules: {_TABLE}"
    for number, rule in enumerate(rules, 1):
        name = rule.get("name")
        which = f"rule {name[:80]!r}" if isinstance(name, str) else f"rule {number} of the file"
        if name is None:
            return f'{which} has no name: name = "…" is told with whatever it refuses'
        for found in _wrong(NamedRule, rule):
            return f"{which}: {found}"
    return ""


def _wrong(kind: type[msgspec.Struct], fields: Mapping[str, Any]) -> Iterator[str]:
    known = {each.name: each.type for each in inspect.type_info(kind).fields}  # type: ignore[attr-defined]
    for key, value in fields.items():
        if key in _MADE:
            yield f"{key}: {_MADE[key]}"
        elif key not in known:
            yield f"it has no {key[:80]!r}{meant(key, known)}"
        elif isinstance(wanted := _inner(known[key]), inspect.StructType):
            if isinstance(value, dict):
                yield from (f"{key}: {each}" for each in _wrong(Licences, value))
            else:
                yield f'{key}: expected a table, such as {{deny = ["AGPL-3.0-only"]}}, not {_shown(value)}'
        else:
            yield from _of_value(key, wanted, value)


def _of_value(key: str, wanted: inspect.Type, value: Any) -> Iterator[str]:
    if isinstance(wanted, inspect.BoolType) and not isinstance(value, bool):
        yield f"{key}: expected true or false, without quotes, not {_shown(value)}"
    elif isinstance(wanted, inspect.StrType) and not isinstance(value, str):
        yield f"{key}: expected a text in quotes, not {_shown(value)}"
    elif isinstance(wanted, inspect.VarTupleType):
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            yield f'{key}: expected a list of texts in quotes, such as ["a", "b"], not {_shown(value)}'
    elif isinstance(wanted, inspect.LiteralType) and value not in wanted.values:
        words = [str(each) for each in wanted.values if each]
        near = meant(value, words) if isinstance(value, str) else ""
        yield f"{key}: expected {' or '.join(map(repr, words))}, not {_shown(value)}{near}"


def _inner(wanted: inspect.Type) -> inspect.Type:
    """Without the None of what may be left out."""
    if isinstance(wanted, inspect.UnionType):
        return next(each for each in wanted.types if not isinstance(each, inspect.NoneType))
    return wanted


def meant(word: str, known: Collection[str]) -> str:
    """What a word that is unknown is near to; "" for nothing."""
    near = get_close_matches(word, known, 1)
    return f"; did you mean {near[0]!r}?" if near else ""


def of_condition(text: str, told: str, facts: Mapping[str, Any]) -> str:
    """Why a condition cannot be taken. `told`: what its library says; `facts`: what it may ask, each with a
    value of its type."""
    unknown = _UNKNOWN.search(told)
    if unknown:
        near = meant(unknown[1], facts) or f"; it may ask {', '.join(facts)}"
        return f"it asks {unknown[1][:80]!r}, which is nothing{near}"
    place = _PLACE.search(told)
    if place:
        sign = _SIGN.search(place[3])
        words = "" if sign is None else f": {sign[1][:80]!r} is not expected there"
        words = ": it ends too early" if sign is not None and sign[1] == "<EOF>" else words
        return f"it cannot be read from line {place[1]}, character {place[2]} on{words}"
    if told.startswith("No such overload"):
        asked = [name for name in dict.fromkeys(_NAME.findall(_TEXT.sub("", text))) if name in facts]
        kinds = ", ".join(f"{name} is {_KINDS[type(facts[name])]}" for name in asked)
        return f"it takes things for one another that are of two kinds ({kinds or 'no fact is asked'})"
    return told


def _shown(value: Any) -> str:
    return (
        str(value).lower()
        if isinstance(value, bool)
        else repr(value)
        if isinstance(value, str)
        else str(value)
    )[:80]
