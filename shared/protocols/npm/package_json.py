"""package.json as npm's locks tell of it, and a project's own one: read, in one spelling, with what it asks
for.

The keys that npm writes into package-lock.json, in the forms that it normalises a package.json to (npm
documentation, "package.json", "package-lock.json").
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from shared.protocols.npm import names
from shared.protocols.roles.locks import TableFault

_TABLES = (
    "dependencies",
    "peerDependencies",
    "peerDependenciesMeta",
    "optionalDependencies",
    "acceptDependencies",
    "engines",
)
_LISTS = ("os", "cpu", "libc")
_SCRIPTS = ("preinstall", "install", "postinstall")


def entry_fields(about: Mapping[str, Any], name: str) -> dict[str, Any]:
    """What a lock's entry holds of a package.json, beside name, version and file."""
    found: dict[str, Any] = {}
    for key in _TABLES:
        table = about.get(key)
        if isinstance(table, dict) and table:
            found[key] = table
    optional = found.get("optionalDependencies", {})
    plain = {name: text for name, text in found.get("dependencies", {}).items() if name not in optional}
    found.pop("dependencies", None)
    if plain:
        found["dependencies"] = plain
    bundled = about.get("bundleDependencies", about.get("bundledDependencies"))
    if bundled is True:
        bundled = sorted(plain)
    if isinstance(bundled, list) and bundled:
        found["bundleDependencies"] = bundled
    for key in _LISTS:
        value = about.get(key)
        value = [value] if isinstance(value, str) and value else value
        if isinstance(value, list) and value:
            found[key] = value
    found |= _texts(about)
    bin_ = _bin(name, about.get("bin"))
    if bin_:
        found["bin"] = bin_
    scripts = about.get("scripts")
    runs = isinstance(scripts, dict) and any(scripts.get(name) for name in _SCRIPTS)
    if runs or about.get("hasInstallScript") is True:
        found["hasInstallScript"] = True
    if about.get("_hasShrinkwrap") is True:
        found["hasShrinkwrap"] = True
    return dict(sorted(found.items()))


def _texts(about: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    license_ = about.get("license")
    if isinstance(license_, dict):
        license_ = license_.get("type")
    if isinstance(license_, str) and license_:
        found["license"] = license_
    if isinstance(about.get("deprecated"), str) and about["deprecated"]:
        found["deprecated"] = about["deprecated"]
    funding = about.get("funding")
    if isinstance(funding, str) and funding:
        funding = {"url": funding}
    if isinstance(funding, (dict, list)) and funding:
        found["funding"] = funding
    return found


def _bin(name: str, declared: Any) -> dict[str, str]:
    """Commands → paths inside the package; one path alone is named as the package is."""
    if isinstance(declared, str):
        declared = {name.rpartition("/")[2]: declared}
    if not isinstance(declared, dict):
        return {}
    paths = {each: path for each, path in declared.items() if isinstance(path, str) and path}
    return {each.rpartition("/")[2]: path.removeprefix("./").lstrip("/") for each, path in paths.items()}


# --- a project's own --------------------------------------------------------------------------------

GROUPS = (
    ("peerDependencies", "peer"),
    ("dependencies", "prod"),
    ("optionalDependencies", "optional"),
    ("devDependencies", "dev"),
)
"""Where dependencies stand, and of which kind they are. A name that stands in several is of the last one."""

_TEXTS = (*(group for group, _ in GROUPS), "acceptDependencies")  # tables of names and ranges


class Declared(msgspec.Struct, frozen=True):
    """One dependency. `kind` as npm calls it: prod, dev, optional, peer or peerOptional."""

    group: str  # the key of package.json under which it stands
    name: str
    text: str
    kind: str
    accepted: str | None = None


def read_package_json(text: str) -> dict[str, Any]:
    """Of a project's package.json what decides its lock, in one spelling but for the order of dependencies
    and overrides, which counts for npm; reads back as itself. Raises `TableFault`."""
    return read_about(decoded(text))


def decoded(text: str) -> dict[str, Any]:
    """The object that a text is. Raises `TableFault`."""
    try:
        about = msgspec.json.decode(text.removeprefix("\ufeff").encode("utf-8", "replace"))
    except (msgspec.DecodeError, RecursionError) as error:
        told = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise TableFault((), f"package.json cannot be read: {told}") from None
    if not isinstance(about, dict):
        raise TableFault((), "package.json holds no object")
    return about


def read_about(about: Mapping[str, Any]) -> dict[str, Any]:
    """`read_package_json` of the object."""
    for key in _TEXTS:
        _check_table(key, about.get(key))
    for key in ("name", "version"):
        if not isinstance(about.get(key, ""), str | None):
            raise TableFault((key,), "expected a string")
    groups = {group for group, _ in GROUPS}
    fields = entry_fields(about, about.get("name") or "")
    found = {key: value if key in groups else _sorted(value) for key, value in fields.items()}
    if isinstance(about.get("devDependencies"), dict):  # npm writes an empty one too
        found["devDependencies"] = about["devDependencies"]
    for key in ("name", "version"):
        if about.get(key):
            found[key] = about[key]
    if about.get("private") is True:
        found["private"] = True
    if about.get("workspaces"):
        found["workspaces"] = about["workspaces"]
    found = dict(sorted(found.items()))
    overrides = about.get("overrides")
    if not isinstance(overrides, dict | None):
        raise TableFault(("overrides",), "expected a table")
    return found | {"overrides": overrides} if overrides else found


def dependencies_of(manifest: Mapping[str, Any]) -> Iterator[Declared]:
    """What it asks for, in npm's order, in which of one name the later counts and takes the later place."""
    accepted = manifest.get("acceptDependencies", {})
    meta = manifest.get("peerDependenciesMeta", {})
    found: dict[str, Declared] = {}
    for group, kind in GROUPS:
        declared = []
        for name, text in manifest.get(group, {}).items():
            told = kind
            if kind == "peer" and isinstance(meta.get(name), dict) and meta[name].get("optional"):
                told = "peerOptional"
            declared.append(Declared(group, name, text, told, accepted.get(name)))
        for one in sorted(declared, key=lambda each: each.kind == "peerOptional"):
            found.pop(one.name.lower(), None)
            found[one.name.lower()] = one
    yield from found.values()


def _check_table(key: str, table: object) -> None:
    if table is None:
        return
    if not isinstance(table, dict):
        raise TableFault((key,), "expected a table of names and ranges")
    for name, text in table.items():
        if not isinstance(text, str):
            raise TableFault((key, name), "expected a string")
        if not names.is_name(name):
            raise TableFault((key, name), "no package has this name")


def _sorted(value: Any) -> Any:
    if isinstance(value, list):
        return [_sorted(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {key: _sorted(each) for key, each in sorted(value.items())}
