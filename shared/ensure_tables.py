"""The tables of an ensure file, and the checks that every value has the kind that its key wants."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime
from typing import Any

import msgspec

from shared.errors import EnsureInvalid
from shared.toml_positions import Path

Place = Callable[[Path], str]
"""Where something stands, as the start of a message: "line 3, column 9: ", or "" where nobody knows."""


class Options(msgspec.Struct, frozen=True):
    """What all tables share: see the parameters of a resolution. "" is the protocol's default."""

    environment: str = ""
    include_optional: bool = False
    as_of: str = ""  # RFC 3339


class PyPITable(Options, frozen=True):
    """`[pypi]`: requirements as PEP 508 writes them."""

    requirements: tuple[str, ...] = ()


class NpmTable(Options, frozen=True):
    """`[npm]`: name → range, as in a package.json."""

    dependencies: dict[str, str] = {}


class MavenTable(Options, frozen=True):
    """`[maven]`: coordinates; each plugin is resolved by itself, as Maven does."""

    dependencies: tuple[str, ...] = ()
    plugins: tuple[str, ...] = ()


Table = PyPITable | NpmTable | MavenTable
TABLES: dict[str, type[Table]] = {"pypi": PyPITable, "npm": NpmTable, "maven": MavenTable}


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """What is said of a name that there is not, with the one that may be meant."""
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    meant = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(known)}"
    return f"unknown {what} {ascii(name)[:60]}; {meant}"


def read_table(protocol: str, kind: type[Table], table: dict[str, Any], place: Place) -> Table:
    """A table whose keys are known and whose values are of their kinds. Raises `EnsureInvalid`."""
    fields = {field.name: field.default for field in msgspec.structs.fields(kind)}
    values: dict[str, Any] = {}
    for key, value in table.items():
        path: Path = (protocol, key)
        if key not in fields:
            raise EnsureInvalid(f"{place(path)}{unknown(f'key in [{protocol}]:', key, fields)}")
        values[key] = _value(path, value, fields[key], place)
    return kind(**values)


def _value(path: Path, value: Any, default: Any, place: Place) -> Any:
    """A value of the kind that its default has."""

    def fault(expected: str, at: Path = path) -> EnsureInvalid:
        return EnsureInvalid(f"{place(at)}{named(at)}: expected {expected}, not {_kind_of(value)}")

    if isinstance(default, bool):
        if not isinstance(value, bool):
            raise fault("true or false")
        return value
    if isinstance(default, str):
        if path[-1] == "as_of" and isinstance(value, date):
            return _moment(value)
        if not isinstance(value, str):
            raise fault("a string")
        return value
    if isinstance(default, tuple):
        if not isinstance(value, list):
            raise fault("a list of strings")
        for index, each in enumerate(value):
            if not isinstance(each, str):
                value = each
                raise fault("a string", (*path, index))
        return tuple(value)
    if not isinstance(value, dict):
        raise fault("a table of names and ranges")
    for key, each in value.items():
        if not isinstance(each, str):
            value = each
            raise fault("a string", (*path, key))
    return dict(value)


def named(path: Path) -> str:
    """A path as people write it: "pypi.requirements[0]"."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)[1:]


def _kind_of(value: Any) -> str:
    kinds = {bool: "true or false", str: "a string", list: "a list", dict: "a table", type(None): "null"}
    return kinds.get(type(value), "a date" if isinstance(value, date) else "a number")


def _moment(value: date) -> str:
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()
    return value.isoformat()
