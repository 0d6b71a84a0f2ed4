"""Tables in a TOML file: one of an array by its name (uv's indexes, poetry's sources), or one by its path."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from typing import Any

from shared.clientfiles.form import MARK, lines_of, past_mark
from shared.clientfiles.setup import CannotEdit

_HEADER = re.compile(r"\s*(\[\[?)\s*([^\[\]]+?)\s*\]")


def read_keys(text: str, path: str) -> dict[str, Any]:
    """The table at a dotted path ("": the whole file), {} if there is none. Raises `CannotEdit`."""
    found = _at(_parse(text), path) if path else _parse(text)
    return found if isinstance(found, dict) else {}


def read_tables(text: str, path: str) -> list[dict[str, Any]]:
    """The tables at a dotted path, [] if there are none. Raises `CannotEdit` for what is not TOML."""
    found = _at(_parse(text), path)
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise CannotEdit(f"{path} is not an array of tables")
    return found


@past_mark
def put_table(text: str, path: str, name: str, values: Mapping[str, str | bool]) -> str:
    """Set keys of the table whose `name` is this, or add such a table at the end of the file.

    Raises `CannotEdit`; nothing else in the file changes, which is verified by reading both.
    """
    before = read_tables(text, path)
    lines = lines_of(text)
    place = next((at for at, table in enumerate(before) if table.get("name") == name), None)
    if place is None:
        gap = [""] if lines and lines[-1].strip() else []
        lines += [*gap, f"[[{path}]]", *_assignments({"name": name, **values})]
        place = len(before)
    else:
        headers = [at for at, line in enumerate(lines) if _is_header(line, path)]
        if place >= len(headers):
            raise CannotEdit(f"{path} is not written as [[{path}]]")
        start = headers[place] + 1
        end = next((at for at in range(start, len(lines)) if _HEADER.match(lines[at])), len(lines))
        lines[start:end] = _set(lines[start:end], values)
    result = "\n".join([*lines, ""])
    _verify(text, result, path, place, {"name": name, **values})
    return result


@past_mark
def set_keys(text: str, path: str, values: Mapping[str, str | bool]) -> str:
    """Set keys of the one table at a dotted path, or add `[path]` at the end of the file.

    Raises `CannotEdit`; nothing else in the file changes, which is verified by reading both.
    """
    wanted = _parse(text)
    table = wanted
    for key in path.split("."):
        table = table.setdefault(key, {}) if isinstance(table, dict) else {}
    if not isinstance(table, dict):
        raise CannotEdit(f"{path} is not a table")
    table.update(values)
    lines = lines_of(text)
    headers = [at for at, line in enumerate(lines) if _is_header(line, path, "[")]
    if headers:
        start = headers[0] + 1
        end = next((at for at in range(start, len(lines)) if _HEADER.match(lines[at])), len(lines))
        lines[start:end] = _set(lines[start:end], values)
    else:
        gap = [""] if lines and lines[-1].strip() else []
        lines += [*gap, f"[{path}]", *_assignments(values)]
    result = "\n".join([*lines, ""])
    try:
        unchanged = _parse(result) == wanted
    except CannotEdit:
        unchanged = False
    if not unchanged:
        raise CannotEdit(f"{path} is written in a way that cannot be added to")
    return result


def _set(lines: list[str], values: Mapping[str, str | bool]) -> list[str]:
    missing = dict(values)
    found = []
    for line in lines:
        key = line.partition("=")[0].strip().strip("\"'")
        if "=" in line and key in missing:
            found += _assignments({key: missing.pop(key)})
        else:
            found.append(line)
    end = len(found)
    while end and not found[end - 1].strip():
        end -= 1
    return [*found[:end], *_assignments(missing), *found[end:]]


def _assignments(values: Mapping[str, str | bool]) -> list[str]:
    # Addresses and names hold neither quotes nor backslashes: target.py has checked them.
    return [
        f"{key} = {str(value).lower()}" if isinstance(value, bool) else f'{key} = "{value}"'
        for key, value in values.items()
    ]


def _is_header(line: str, path: str, bracket: str = "[[") -> bool:
    found = _HEADER.match(line)
    plain = re.sub(r"[\s\"']", "", found.group(2)) if found else ""
    return found is not None and found.group(1) == bracket and plain == path


def _parse(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text.removeprefix(MARK))
    except tomllib.TOMLDecodeError as error:
        raise CannotEdit(f"it is not valid TOML: {error}") from None


def _at(data: Any, path: str) -> Any:
    for key in path.split("."):
        data = data.get(key, {}) if isinstance(data, dict) else {}
    return data or []


def _verify(text: str, result: str, path: str, place: int, values: Mapping[str, str | bool]) -> None:
    try:
        after = _parse(result)
    except CannotEdit:
        raise CannotEdit(f"{path} is written in a way that cannot be added to") from None
    before, tables = _parse(text), _at(after, path)
    table = tables.pop(place)
    known = _at(before, path)
    old = known.pop(place) if place < len(known) else {}
    others = {key: value for key, value in table.items() if key not in values}
    kept = others == {key: value for key, value in old.items() if key not in values}
    if not kept or not values.items() <= table.items() or _without_empty(before) != _without_empty(after):
        raise CannotEdit("it is written in a way that cannot be changed safely")


def _without_empty(data: Any) -> Any:
    """Without empty tables and lists: adding the first [[tool.uv.index]] makes [tool] and [tool.uv]."""
    if not isinstance(data, dict):
        return data
    found = {key: _without_empty(value) for key, value in data.items()}
    return {key: value for key, value in found.items() if value not in ({}, [])}
