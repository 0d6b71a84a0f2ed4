"""The npm-shrinkwrap.json inside a package: what npm installs below it, and nothing else (npm documentation,
"npm-shrinkwrap.json" and "package-lock.json").

All forms are brought into that of lockfileVersion 3: one entry for each place. What `requires` of
lockfileVersion 1 leaves open, the kind of a dependency, is told from the marks of what it leads to, as npm
does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

import msgspec

from shared.models import Extraction
from shared.protocols.npm import names
from shared.protocols.npm.semver import parse_version
from shared.protocols.reading.json_text import load_tree
from shared.protocols.reading.tarballs import BadArchive, NoSuchMember, read_top_file

FILE = "npm-shrinkwrap.json"
MAX_ENTRIES = 5000
MAX_LEVELS = 50  # of folders inside one another
MAX_CHARACTERS = 10_000  # of a value
_FOLDER = "node_modules/"
_SHOWN = 80

_TABLES = (
    "dependencies",
    "optionalDependencies",
    "peerDependencies",
    "peerDependenciesMeta",
    "acceptDependencies",
    "engines",
    "bin",
)
_TEXTS = ("version", "name", "resolved", "integrity", "deprecated")
_LISTS = ("os", "cpu", "libc")
_MARKS = ("hasShrinkwrap", "hasInstallScript", "inBundle")
_OF_ROOT = ("optional", "dev")  # marks that say how the file's own project comes there
_ANY = ("funding", "license", "bundleDependencies")


class InnerEntry(msgspec.Struct, frozen=True):
    """One place, relative to the package, and the fields that a lock of version 3 has for it. `address`: no
    registry has it."""

    place: str
    fields: dict[str, Any]
    address: bool = False


class BadShrinkwrap(Exception):
    """The file is damaged; the text says where and how."""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[InnerEntry, ...]).decode


def inner_lock(filename: str, file: BinaryIO, size_bytes: int) -> tuple[Extraction, bytes | None]:
    """See `Archive.inner_lock`."""
    try:
        _, content = read_top_file(file, FILE)
        return Extraction(sha256="", state="extracted"), _encode(read_shrinkwrap(content))
    except NoSuchMember:  # npm then takes what the package's dependencies ask for
        return Extraction(sha256="", state="extracted"), _encode(())
    except BadArchive as error:
        return Extraction(sha256="", state="unextractable", reason=str(error)), None
    except BadShrinkwrap as error:
        return Extraction(sha256="", state="unextractable", reason=f"{FILE}: {error}"), None


def decode_inner(body: bytes) -> tuple[InnerEntry, ...]:
    """What `inner_lock` gave. Raises `msgspec.MsgspecError`."""
    found: tuple[InnerEntry, ...] = _decode(body)
    return found


def read_shrinkwrap(content: bytes) -> tuple[InnerEntry, ...]:
    """The entries in the file's order, each after the folder that it lies in. Raises `BadShrinkwrap`."""
    try:
        data = load_tree(content)
    except ValueError:
        raise BadShrinkwrap("it is no JSON object") from None
    packages, dependencies = data.get("packages"), data.get("dependencies")
    if isinstance(packages, dict):
        found = dict(_current(packages))
    elif packages is None and isinstance(dependencies, dict):
        found = _with_kinds(dict(_first(dependencies, "", 1)))
    elif packages is None and dependencies is None:
        found = {}  # a package that needs nothing
    else:
        raise BadShrinkwrap("packages or dependencies is no object")
    if len(found) > MAX_ENTRIES:
        raise BadShrinkwrap(f"it has more than {MAX_ENTRIES} entries")
    for place in found:
        around = place.rpartition(f"/{_FOLDER}")[0]
        if around and around not in found:
            raise BadShrinkwrap(f"{place[:_SHOWN]}: the folder that it lies in has no entry")
    return tuple(
        InnerEntry(
            place, {key: value for key, value in entry.fields.items() if key not in _OF_ROOT}, entry.address
        )
        for place, entry in sorted(found.items(), key=lambda pair: pair[0].count(_FOLDER))
    )


# --- lockfileVersion 2 and 3 --------------------------------------------------------------------------


def _current(packages: dict[str, Any]) -> Iterator[tuple[str, InnerEntry]]:
    for place, entry in packages.items():
        if not place:
            continue
        name = _name_at(place)
        if not isinstance(entry, dict):
            raise BadShrinkwrap(f"{place[:_SHOWN]}: it is no object")
        if entry.get("link"):
            raise BadShrinkwrap(f"{place[:_SHOWN]}: a link; only packages of a registry are installed")
        yield place, _entry(place, entry.get("name") or name, entry)


def _name_at(place: str) -> str:
    """The last name of "node_modules/a/node_modules/b". Raises `BadShrinkwrap` for anything else."""
    if not place.startswith(_FOLDER):
        raise BadShrinkwrap(f"{ascii(place)[:_SHOWN]}: it lies outside node_modules")
    parts = place.removeprefix(_FOLDER).split(f"/{_FOLDER}")
    if len(parts) > MAX_LEVELS:
        raise BadShrinkwrap(f"more than {MAX_LEVELS} folders lie inside one another")
    if not all(map(names.is_name, parts)):
        raise BadShrinkwrap(f"{ascii(place)[:_SHOWN]}: no package has this name")
    return parts[-1]


# --- lockfileVersion 1 ---------------------------------------------------------------------------------


def _first(dependencies: dict[str, Any], around: str, level: int) -> Iterator[tuple[str, InnerEntry]]:
    if level > MAX_LEVELS:
        raise BadShrinkwrap(f"more than {MAX_LEVELS} folders lie inside one another")
    for name, entry in dependencies.items():
        place = f"{around}{_FOLDER}{name}"
        if not names.is_name(name):
            raise BadShrinkwrap(f"{ascii(place)[:_SHOWN]}: no package has this name")
        if not isinstance(entry, dict):
            raise BadShrinkwrap(f"{place[:_SHOWN]}: it is no object")
        fields = {key: entry[key] for key in ("version", "resolved", "integrity") if key in entry}
        version = fields.get("version")
        if isinstance(version, str) and version.startswith("npm:"):
            fields["name"], _, fields["version"] = version[4:].rpartition("@")
        fields |= {mark: True for mark in _OF_ROOT if entry.get(mark)}
        if entry.get("bundled"):
            fields["inBundle"] = True
        requires = entry.get("requires")
        if isinstance(requires, dict):
            fields["dependencies"] = requires
        yield place, _entry(place, fields.get("name") or name, fields)
        inside = entry.get("dependencies")
        if inside is not None and not isinstance(inside, dict):
            raise BadShrinkwrap(f"{place[:_SHOWN]}: dependencies is no object")
        yield from _first(inside or {}, f"{place}/", level + 1)


def _with_kinds(found: dict[str, InnerEntry]) -> dict[str, InnerEntry]:
    """With `requires` in tables of their kinds: what leads from a required package to an optional one."""
    told: dict[str, InnerEntry] = {}
    for place, entry in found.items():
        plain: dict[str, Any] = {}
        optional: dict[str, Any] = {}
        for name, wanted in entry.fields.get("dependencies", {}).items():
            target = _target(found, place, name)
            leads = target is not None and target.fields.get("optional") and not entry.fields.get("optional")
            (optional if leads else plain)[name] = wanted
        fields = {key: value for key, value in entry.fields.items() if key != "dependencies"}
        fields |= {"dependencies": plain} if plain else {}
        fields |= {"optionalDependencies": optional} if optional else {}
        told[place] = InnerEntry(place, fields, entry.address)
    return told


def _target(found: dict[str, InnerEntry], place: str, name: str) -> InnerEntry | None:
    while True:
        entry = found.get(f"{place}/{_FOLDER}{name}" if place else f"{_FOLDER}{name}")
        if entry is not None or not place:
            return entry
        place = place.rpartition(_FOLDER)[0].rstrip("/")


# --- entries --------------------------------------------------------------------------------------------


def _entry(place: str, name: Any, told: dict[str, Any]) -> InnerEntry:
    """Only fields of the kinds that npm writes: what has another type is left out, but for those that say
    which file it is."""
    fields: dict[str, Any] = {}
    for key in _TEXTS:
        value = told.get(key)
        if value is None:
            continue
        if not isinstance(value, str) or len(value) > MAX_CHARACTERS:
            raise BadShrinkwrap(f"{place[:_SHOWN]}: {key} is no text")
        if value:
            fields[key] = value
    for key in _TABLES:
        table = told.get(key)
        if isinstance(table, dict) and table:
            fields[key] = table
    for key in _LISTS:
        value = told.get(key)
        value = [value] if isinstance(value, str) and value else value
        if isinstance(value, list) and value:
            fields[key] = value
    fields |= {key: told[key] for key in _ANY if told.get(key)}
    fields |= {key: True for key in (*_MARKS, *_OF_ROOT) if told.get(key) is True}
    if not isinstance(name, str) or not names.is_name(name):
        raise BadShrinkwrap(f"{place[:_SHOWN]}: no package has the name that it tells")
    resolved = fields.get("resolved", "")
    version = fields.get("version", "")
    web = not resolved or resolved.startswith(("http://", "https://"))
    return InnerEntry(place, fields, address=not web or parse_version(version) is None)
