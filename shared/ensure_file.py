"""Ensure files (`orchard.ensure`): read from TOML or JSON, checked, and brought into one canonical form.

What is wrong is told with its line and column. Order and spelling mean nothing: equal wishes have one
key. Described in docs/ensure.md.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
import tomllib
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from typing import Any

import msgspec

from shared.errors import EnsureInvalid, InvalidParameter, NotResolvable
from shared.protocols import PROTOCOLS
from shared.protocols.maven.coordinates import PLUGIN
from shared.protocols.resolution import MAX_DEPTH, MAX_REQUIREMENTS, ResolutionRequest, Resolver
from shared.toml_positions import Path, positions

ENSURE_FORMAT = 1
"""Part of every key. A kept lock is answered for ever, so this is raised only with the file's meaning."""

MAX_BYTES = 256 * 1024
MAX_PLUGINS = 100

_TOML_PLACE = re.compile(r" \(at line (\d+), column (\d+)\)$")


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


class Plan(msgspec.Struct, frozen=True):
    """One protocol's part of an ensure file as what is to be resolved."""

    protocol: str
    request: ResolutionRequest | None  # of the roots; None where only plugins are listed
    plugins: tuple[ResolutionRequest, ...] = ()

    @property
    def requests(self) -> tuple[ResolutionRequest, ...]:
        """All of them, the roots' first."""
        return (self.request, *self.plugins) if self.request is not None else self.plugins


class EnsureFile(msgspec.Struct, frozen=True):
    """A checked ensure file in its canonical form."""

    plans: tuple[Plan, ...]  # by protocol's name

    @property
    def canonical(self) -> dict[str, dict[str, Any]]:
        """The file as it is shown in its lock, and as `read_ensure` takes it back."""
        return {plan.protocol: _shown(plan) for plan in self.plans}

    @property
    def document(self) -> str:
        """`canonical` as JSON."""
        return msgspec.json.encode(self.canonical, order="sorted").decode()

    @property
    def key(self) -> str:
        """Under which the lock is kept: 64 hex digits."""
        return hashlib.sha256(f"{ENSURE_FORMAT}\n{self.document}".encode()).hexdigest()


def read_toml(text: str) -> EnsureFile:
    """The file of a TOML text. Raises `EnsureInvalid` with line and column, `NotResolvable`."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise EnsureInvalid(_toml_fault(str(error), text)) from None
    except RecursionError:
        raise EnsureInvalid("line 1, column 1: nested too deeply") from None
    found: dict[Path, tuple[int, int]] = {}

    def place(path: Path) -> str:
        if not found:
            found.update(positions(text))
        at = next((found[path[:n]] for n in range(len(path), 0, -1) if path[:n] in found), (1, 1))
        return f"line {at[0]}, column {at[1]}: "

    return _read(data, place)


def read_json(text: str) -> EnsureFile:
    """The same of JSON of the same shape. Places are told for broken JSON only; else keys are named."""
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise EnsureInvalid(f"line {error.lineno}, column {error.colno}: {error.msg}") from None
    except (RecursionError, ValueError):
        raise EnsureInvalid("line 1, column 1: nested too deeply, or a number is too long") from None
    if not isinstance(data, dict):
        raise EnsureInvalid("line 1, column 1: expected an object with a table for each protocol")
    return _read(data, lambda path: "")


def _toml_fault(message: str, text: str) -> str:
    found = _TOML_PLACE.search(message)
    if found is not None:
        return f"line {found[1]}, column {found[2]}: {message[: found.start()]}"
    last = text.count("\n") + 1  # "(at end of document)"
    return f"line {last}, column {len(text) - text.rfind(chr(10))}: {message}"


# --- checking -------------------------------------------------------------------------------------

Place = Callable[[Path], str]


def _read(data: dict[str, Any], place: Place) -> EnsureFile:
    plans = []
    for name, table in sorted(data.items()):
        kind = TABLES.get(name)
        if kind is None:
            raise EnsureInvalid(f"{place((name,))}{_unknown('table', name, TABLES)}")
        if not isinstance(table, dict):
            raise EnsureInvalid(f"{place((name,))}{name}: expected a table, [{name}]")
        plan = _plan(name, _table(name, kind, table, place), place)
        if plan.requests:
            plans.append(plan)
    if not plans:
        raise EnsureInvalid("line 1, column 1: nothing to ensure: no table lists anything")
    return EnsureFile(tuple(plans))


def _unknown(what: str, name: str, known: Any) -> str:
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    meant = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(known)}"
    return f"unknown {what} {ascii(name)[:60]}; {meant}"


def _table(protocol: str, kind: type[Table], table: dict[str, Any], place: Place) -> Table:
    fields = {field.name: field.default for field in msgspec.structs.fields(kind)}
    values: dict[str, Any] = {}
    for key, value in table.items():
        path: Path = (protocol, key)
        if key not in fields:
            raise EnsureInvalid(f"{place(path)}{_unknown(f'key in [{protocol}]:', key, fields)}")
        values[key] = _value(path, value, fields[key], place)
    return kind(**values)


def _value(path: Path, value: Any, default: Any, place: Place) -> Any:
    """A value of the kind that its default has."""

    def fault(expected: str, at: Path = path) -> EnsureInvalid:
        return EnsureInvalid(f"{place(at)}{_named(at)}: expected {expected}, not {_kind_of(value)}")

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


def _named(path: Path) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)[1:]


def _kind_of(value: Any) -> str:
    kinds = {bool: "true or false", str: "a string", list: "a list", dict: "a table", type(None): "null"}
    return kinds.get(type(value), "a date" if isinstance(value, date) else "a number")


def _moment(value: date) -> str:
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()
    return value.isoformat()


# --- what is to be resolved -----------------------------------------------------------------------


def _plan(protocol: str, table: Table, place: Place) -> Plan:
    resolver = next((each.resolver for each in PROTOCOLS if each.name == protocol), None)
    wanted = list(_requirements(protocol, table))
    if resolver is None:
        if wanted:
            raise NotResolvable(f"dependencies of {protocol} are not resolved yet")
        return Plan(protocol, None)
    if len(wanted) > MAX_REQUIREMENTS:
        raise EnsureInvalid(
            f"{place((protocol,))}{protocol}: at most {MAX_REQUIREMENTS} are resolved at once"
        )
    for path, text in wanted:
        _request(resolver, table, (text,), path, place)
    plugins = [text for path, text in wanted if path[1] == "plugins"]
    roots = tuple(text for path, text in wanted if path[1] != "plugins")
    if len(plugins) > MAX_PLUGINS:
        raise EnsureInvalid(f"{place((protocol, 'plugins'))}{protocol}.plugins: at most {MAX_PLUGINS}")
    at: Path = (protocol,)
    resolved = (_request(resolver, table, (text,), at, place) for text in plugins)
    apart = {request.requirements: request for request in resolved}
    return Plan(
        protocol,
        _request(resolver, table, roots, at, place) if roots else None,
        tuple(apart[each] for each in sorted(apart)),
    )


def _requirements(protocol: str, table: Table) -> Iterator[tuple[Path, str]]:
    """Each requirement as its protocol spells it, and where it stands."""
    if isinstance(table, PyPITable):
        for index, text in enumerate(table.requirements):
            yield (protocol, "requirements", index), text
    elif isinstance(table, NpmTable):
        for name, wanted in table.dependencies.items():
            yield (protocol, "dependencies", name), f"{name}@{wanted}"
    else:
        for index, text in enumerate(table.dependencies):
            yield (protocol, "dependencies", index), text
        for index, text in enumerate(table.plugins):
            yield (protocol, "plugins", index), _plugin(text)


def _plugin(text: str) -> str:
    """A plugin's coordinates with its type, by which it is known for one: "g:a:v" is enough in the file."""
    group, _, rest = text.strip().partition(":")
    artifact, _, version = rest.partition(":")
    return f"{group}:{artifact}:{PLUGIN}:{version}" if version and ":" not in version else text


def _request(
    resolver: Resolver, table: Table, requirements: tuple[str, ...], path: Path, place: Place
) -> ResolutionRequest:
    """The canonical request. No graph is cut off: a lock that lacks what is deep is of no use."""
    try:
        return resolver.request(
            requirements=requirements,
            max_depth=MAX_DEPTH,
            include_optional=table.include_optional,
            environment=table.environment,
            as_of=table.as_of,
        )
    except InvalidParameter as error:
        name, _, told = error.message.partition(": ")
        if name in ("environment", "as_of", "include_optional"):
            path = (path[0], name)
        raise EnsureInvalid(f"{place(path)}{_named(path)}: {told or error.message}") from None


def _shown(plan: Plan) -> dict[str, Any]:
    """A plan as the table that it was read from."""
    first = plan.requests[0]
    shown: dict[str, Any] = {
        "environment": first.environment,
        "include_optional": first.include_optional,
        "as_of": first.as_of,
    }
    roots = plan.request.requirements if plan.request is not None else ()
    if plan.protocol == "npm":
        shown["dependencies"] = dict(split_npm(text) for text in roots)
    elif plan.protocol == "maven":
        shown["dependencies"] = list(roots)
        shown["plugins"] = [request.requirements[0] for request in plan.plugins]
    else:
        shown["requirements"] = list(roots)
    return shown


def split_npm(text: str) -> tuple[str, str]:
    """Name and range of "name@range", "@scope/name@range"."""
    name, _, wanted = text[1:].partition("@")
    return text[0] + name, wanted
