"""Ensure files (`orchard.ensure`): read from TOML or JSON, checked, and brought into one canonical form.

What is wrong is told with its line and column. Order and spelling mean nothing: equal wishes have one
key. Described in docs/ensure.md.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Iterator
from typing import Any

import msgspec

from shared.ensure_tables import (
    TABLES,
    NpmTable,
    Place,
    PyPITable,
    Table,
    named,
    read_table,
    unknown,
)
from shared.errors import EnsureInvalid, InvalidParameter, NotResolvable
from shared.protocols import PROTOCOLS
from shared.protocols.maven.coordinates import PLUGIN
from shared.protocols.resolution import MAX_DEPTH, MAX_REQUIREMENTS, ResolutionRequest, Resolver
from shared.toml_positions import Path, place_of, positions

ENSURE_FORMAT = 1
"""Part of every key. A kept lock is answered for ever, so this is raised only with the file's meaning."""

MAX_BYTES = 256 * 1024
MAX_PLUGINS = 100

MAX_KEY_PARTS = 32
# `tomllib` keeps every beginning of a dotted key, so that time and memory grow with the square of its parts.
# Texts in quotes are looked at, too: nothing that an ensure file names has so many dots.
_PART = r"""(?:[A-Za-z0-9_-]++|"(?:\\.|[^"\\\n])*+"|'[^'\n]*+')"""
_LONG_KEY = re.compile(rf"(?<![A-Za-z0-9_-]){_PART}(?:[ \t]*+\.[ \t]*+{_PART}){{{MAX_KEY_PARTS}}}")
_TOML_PLACE = re.compile(r" \(at line (\d+), column (\d+)\)$")


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
    long = _LONG_KEY.search(text)
    if long is not None:
        line, column = place_of(text, long.start())
        raise EnsureInvalid(
            f"line {line}, column {column}: more than {MAX_KEY_PARTS} parts with dots between"
        )
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise EnsureInvalid(_toml_fault(str(error), text)) from None
    except (RecursionError, ValueError):  # the second is `int`'s
        raise EnsureInvalid("line 1, column 1: nested too deeply, or a number is too long") from None
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


def _read(data: dict[str, Any], place: Place) -> EnsureFile:
    plans = []
    for name, table in sorted(data.items()):
        kind = TABLES.get(name)
        if kind is None:
            raise EnsureInvalid(f"{place((name,))}{unknown('table', name, TABLES)}")
        if not isinstance(table, dict):
            raise EnsureInvalid(f"{place((name,))}{name}: expected a table, [{name}]")
        plan = _plan(name, read_table(name, kind, table, place), place)
        if plan.requests:
            plans.append(plan)
    if not plans:
        raise EnsureInvalid("line 1, column 1: nothing to ensure: no table lists anything")
    return EnsureFile(tuple(plans))


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
        raise EnsureInvalid(f"{place(path)}{named(path)}: {told or error.message}") from None


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
