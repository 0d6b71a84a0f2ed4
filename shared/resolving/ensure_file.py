"""Ensure files (`orchard.ensure`): read from TOML or JSON, checked, and brought into one canonical form.

Every value has the type that its key requires. Errors have line and column. Order and
spelling mean nothing: equal requirements have one key. Described in docs/ensure.md.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
import tomllib
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime
from typing import Any

import msgspec

from shared.errors import EnsureInvalid, InvalidParameter, NotResolvable
from shared.protocols import PROTOCOLS, protocol_named
from shared.protocols.reading.toml_text import MAX_KEY_PARTS, long_key_at
from shared.protocols.resolution import MAX_DEPTH, MAX_REQUIREMENTS, ResolutionRequest, Resolver
from shared.protocols.roles.locks import InOrder, Manifest, Table, TableFault
from shared.queue.jobs import abilities_for
from shared.resolving.toml_positions import Path, place_of, positions

Place = Callable[[Path], str]
"""Where something stands, as the start of a message: "line 3, column 9: ", or "" where nobody knows."""


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """The message for an unknown name, with the nearest known one."""
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    meant = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(known)}"
    return f"unknown {what} {ascii(name)[:60]}; {meant}"


def read_table(protocol: str, kind: type[Table], table: dict[str, Any], place: Place) -> Table:
    """A table whose keys are known and whose values are of their kinds. Raises `EnsureInvalid`."""
    fields = {
        field.name: field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
        for field in msgspec.structs.fields(kind)
    }
    values: dict[str, Any] = {}
    for key, value in table.items():
        path: Path = (protocol, key)
        if key not in fields:
            raise EnsureInvalid(f"{place(path)}{unknown(f'key in [{protocol}]:', key, fields)}")
        values[key] = _value(path, value, fields[key], place)
    return kind(**values)


def _value(path: Path, value: Any, default: Any, place: Place) -> Any:
    """A value of the type that its default has."""

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
    if isinstance(default, InOrder):
        return _nested(path, value, place)
    if not isinstance(value, dict):
        raise fault("a table of names and ranges")
    for key, each in value.items():
        if not isinstance(each, str):
            value = each
            raise fault("a string", (*path, key))
    return dict(value)


def _nested(path: Path, value: Any, place: Place) -> InOrder:
    """Tables of texts and of such tables, in the order in which they are written."""
    found = InOrder()
    waiting: list[tuple[Path, Any, InOrder]] = [(path, value, found)]
    for at, table, made in waiting:
        if not isinstance(table, dict):
            expected = "a table" if at == path else "a string or a table"
            raise EnsureInvalid(f"{place(at)}{named(at)}: expected {expected}, not {_kind_of(table)}")
        if len(at) > _MOST_NESTED:
            raise EnsureInvalid(f"{place(path)}{named(path)}: more than {_MOST_NESTED} tables deep")
        for key, each in table.items():
            if isinstance(each, str):
                made[key] = each
            else:
                made[key] = inner = InOrder()
                waiting.append(((*at, key), each, inner))
    return found


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


ENSURE_FORMAT = 1
"""Part of every key. A kept lock is answered for ever, so this is raised only with the file's meaning."""

MAX_BYTES = 256 * 1024
_MOST_NESTED = 32
MAX_APART = 100  # resolutions of one table beside that of its roots

_TOML_PLACE = re.compile(r" \(at line (\d+), column (\d+)\)$")


class Plan(msgspec.Struct, frozen=True):
    """One protocol's part of an ensure file as what is to be resolved."""

    protocol: str
    request: ResolutionRequest | None  # of the roots; None where there are none
    apart: tuple[ResolutionRequest, ...] = ()  # `Locks.apart`

    @property
    def requests(self) -> tuple[ResolutionRequest, ...]:
        """All of them, the roots' first."""
        return (self.request, *self.apart) if self.request is not None else self.apart


class Wanted(msgspec.Struct, frozen=True):
    """What a lock is made of, in a canonical form: equal ones have one key."""

    @property
    def canonical(self) -> dict[str, Any]:
        """As it is shown in its lock."""
        raise NotImplementedError

    @property
    def document(self) -> str:
        """`canonical` as JSON."""
        return msgspec.json.encode(_sorted(self.canonical)).decode()

    @property
    def key(self) -> str:
        """The key of the lock: 64 hex digits."""
        return hashlib.sha256(f"{ENSURE_FORMAT}\n{self.document}".encode()).hexdigest()


def _sorted(value: Any) -> Any:
    """By key, but for what is `InOrder`."""
    if isinstance(value, (list, tuple)):
        return [_sorted(each) for each in value]
    if isinstance(value, InOrder) or not isinstance(value, dict):
        return value
    return {key: _sorted(each) for key, each in sorted(value.items())}


class EnsureFile(Wanted, frozen=True):
    """A checked ensure file in its canonical form."""

    plans: tuple[Plan, ...]  # by protocol's name

    @property
    def canonical(self) -> dict[str, dict[str, Any]]:
        """The file as it is shown in its lock, and as `read_json` takes it back."""
        return {plan.protocol: _shown(plan) for plan in self.plans}

    @property
    def spoken(self) -> tuple[str, ...]:
        """`Ensure.protocols`."""
        projects = (request.project for plan in self.plans for request in plan.requests)
        more = dict.fromkeys(ability for project in projects for ability in abilities_for(project))
        return (*(plan.protocol for plan in self.plans), *more)


def read_toml(text: str) -> EnsureFile:
    """The file of a TOML text. Raises `EnsureInvalid` with line and column, `NotResolvable`."""
    long = long_key_at(text)
    if long >= 0:
        line, column = place_of(text, long)
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
    """The same of JSON of the same shape. Line and column for broken JSON only; else errors name the key."""
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise EnsureInvalid(f"line {error.lineno}, column {error.colno}: {error.msg}") from None
    except (RecursionError, ValueError):
        raise EnsureInvalid("line 1, column 1: nested too deeply, or a number is too long") from None
    if not isinstance(data, dict):
        raise EnsureInvalid("line 1, column 1: expected an object with a table for each protocol")
    return _read(data, lambda path: "")


def manifests() -> dict[str, tuple[str, Manifest]]:
    """Files of clients' projects that are taken for ensure files: protocol and form, by kind."""
    return {kind: (each.name, form) for each in PROTOCOLS for kind, form in each.locks.manifests.items()}


def manifest_kind(basename: str) -> str:
    """The kind of such a file by its name; "" for none."""
    return next((kind for kind, (_, form) in manifests().items() if form.filename.fullmatch(basename)), "")


def refuse_manifest(basename: str) -> None:
    """Raises `EnsureInvalid` for a file of a client's project that is neither a lock nor taken for an ensure
    file, and says what is."""
    for each in PROTOCOLS:
        if instead := each.locks.not_taken.get(basename.lower()):
            raise EnsureInvalid(f"{basename}: is not resolved here", hint=f"Post {instead}.")


def read_manifest(kind: str, text: str) -> EnsureFile:
    """The ensure file that it stands for. Raises as `read_toml`."""
    protocol, form = manifests()[kind]
    return _read({protocol: {form.key: text}}, lambda path: "")


def _toml_fault(message: str, text: str) -> str:
    found = _TOML_PLACE.search(message)
    if found is not None:
        return f"line {found[1]}, column {found[2]}: {message[: found.start()]}"
    last = text.count("\n") + 1  # "(at end of document)"
    return f"line {last}, column {len(text) - text.rfind(chr(10))}: {message}"


def _read(data: dict[str, Any], place: Place) -> EnsureFile:
    plans = []
    tables = {each.name: each.locks.table for each in PROTOCOLS if each.locks.table is not None}
    for name, table in sorted(data.items()):
        kind = tables.get(name)
        if kind is None:
            raise EnsureInvalid(f"{place((name,))}{unknown('table', name, tables)}")
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
    at: Path
    spoken = protocol_named(protocol)
    try:
        roots, apart = list(spoken.locks.roots(table)), list(spoken.locks.apart(table))
        project = spoken.locks.project(table)
    except TableFault as error:
        at = (protocol, *error.path)
        raise EnsureInvalid(f"{place(at)}{named(at)}: {error.reason}") from None
    if spoken.resolver is None:
        if roots or apart:
            raise NotResolvable(f"dependencies of {protocol} are not resolved yet")
        return Plan(protocol, None)
    if len(roots) + len(apart) > MAX_REQUIREMENTS:
        raise EnsureInvalid(
            f"{place((protocol,))}{protocol}: at most {MAX_REQUIREMENTS} are resolved at once"
        )
    for path, text in (*roots, *apart):
        _request(spoken.resolver, table, (text,), (protocol, *path), place)
    if len(apart) > MAX_APART:
        path = (protocol, apart[0][0][0])
        raise EnsureInvalid(f"{place(path)}{named(path)}: at most {MAX_APART}")
    at = (protocol,)
    requests = [_request(spoken.resolver, table, (text,), at, place) for _, text in apart]
    by_text = {request.requirements: request for request in requests}
    together = tuple(text for _, text in roots)
    return Plan(
        protocol,
        _request(spoken.resolver, table, together, at, place, project) if together else None,
        tuple(by_text[each] for each in sorted(by_text)),
    )


def _request(
    resolver: Resolver,
    table: Table,
    requirements: tuple[str, ...],
    path: Path,
    place: Place,
    project: str = "",
) -> ResolutionRequest:
    """The canonical request. No graph is cut off: a lock that lacks what is deep is of no use."""
    try:
        return resolver.request(
            requirements=requirements,
            max_depth=MAX_DEPTH,
            include_optional=table.include_optional,
            environment=table.environment,
            as_of=table.as_of,
            project=project,
        )
    except InvalidParameter as error:
        name, _, reason = error.message.partition(": ")
        if name in ("environment", "as_of", "include_optional"):
            path = (path[0], name)
        raise EnsureInvalid(f"{place(path)}{named(path)}: {reason or error.message}") from None


def _shown(plan: Plan) -> dict[str, Any]:
    """A plan as the table that it was read from."""
    first = plan.requests[0]
    shown: dict[str, Any] = {
        "environment": first.environment,
        "include_optional": first.include_optional,
        "as_of": first.as_of,
    }
    roots = plan.request.requirements if plan.request is not None else ()
    apart = [request.requirements[0] for request in plan.apart]
    return shown | protocol_named(plan.protocol).locks.shown(roots, apart, first.project)
