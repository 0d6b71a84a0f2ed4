"""The fields of a package in package-lock.json, and a lock exported as one, as `npm ci` takes it.

The keys that npm writes there (npm documentation, "package-lock.json"), in the forms that npm normalises a
package.json to ("package.json", "bin", "funding", "license"). Of lockfileVersion 3: one entry for each place
of installation, and `resolved` at the Orchard that serves the file.
"""

from __future__ import annotations

import base64
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import msgspec

from shared.protocols.lock import Lock, LockedPackage
from shared.protocols.npm.document import Document
from shared.protocols.npm.resolver.overrides import OverrideFault
from shared.protocols.npm.resolver.projects import project_of, read_project
from shared.protocols.reading.json_text import fields_of, value_of
from shared.protocols.roles.locks import Export, InOrder, Locks, RootRequirement, Table, TableFault

NAME, VERSION = "ensured", "1.0.0"


def package_json(lock: Lock) -> bytes:
    """A project that depends on what the ensure file lists."""
    about = {"name": NAME, "version": VERSION, "private": True, "dependencies": _wanted(lock)}
    overrides = lock.ensure["npm"].get("overrides")
    return _pretty(about | {"overrides": overrides} if overrides else about)


def package_lock(lock: Lock, base_url: str) -> bytes:
    """The installed tree, place by place."""
    packages: dict[str, Any] = {"": {"name": NAME, "version": VERSION, "dependencies": _wanted(lock)}}
    places = {place: package for package in lock.protocols["npm"].packages for place in package.locations}
    for place, package in sorted(places.items()):
        packages[place] = _entry(place, package, base_url)
    required, ordinary = _reached(packages, ("prod", "peer")), _reached(packages, ("prod", "optional"))
    for place, entry in packages.items():
        if place not in required:
            entry["optional"] = True
        if place not in ordinary:
            entry["peer"] = True
    found = {
        "name": NAME,
        "version": VERSION,
        "lockfileVersion": 3,
        "requires": True,
        "packages": packages,
    }
    return _pretty(found)


def _wanted(lock: Lock) -> dict[str, str]:
    return dict(lock.ensure["npm"]["dependencies"])


def _entry(place: str, package: LockedPackage, base_url: str) -> dict[str, Any]:
    entry: dict[str, Any] = {}
    if place.rpartition("node_modules/")[2] != package.name:  # an alias
        entry["name"] = package.name
    own = package.entries.get(place)  # below a package with a lock of its own: as that says
    entry["version"] = package.version
    if own is None or "inBundle" not in own:
        entry["resolved"] = base_url + package.path
    if own is not None:
        return entry | own
    entry |= package.manifest
    if package.integrity or package.sha256:
        entry["integrity"] = package.integrity or _from_sha256(package.sha256)
    return entry


def _reached(packages: Mapping[str, Mapping[str, Any]], kinds: Collection[str]) -> set[str]:
    """The places that the project needs by edges of these kinds alone: what npm's marks follow from."""
    found, left = {""}, [""]
    while left:
        place = left.pop()
        for name, kind in _edges(packages[place]):
            target = _target(packages, place, name) if kind in kinds else ""
            if target and target not in found:
                found.add(target)
                left.append(target)
    return found


def _edges(entry: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name in entry.get("dependencies", {}):
        yield name, "prod"
    for name in entry.get("optionalDependencies", {}):
        yield name, "optional"
    about = entry.get("peerDependenciesMeta", {})
    for name in entry.get("peerDependencies", {}):
        meta = about.get(name)
        yield name, "peerOptional" if isinstance(meta, dict) and meta.get("optional") is True else "peer"


def _target(packages: Mapping[str, Any], place: str, name: str) -> str:
    """Where a package finds another: in its own folder, else in the nearest above ("" for nowhere)."""
    while True:
        candidate = f"{place}/node_modules/{name}" if place else f"node_modules/{name}"
        if candidate in packages:
            return candidate
        if not place:
            return ""
        place = place.rpartition("node_modules/")[0].rstrip("/")


def _from_sha256(sha256: str) -> str:
    """Subresource Integrity of a file whose registry tells none."""
    return f"sha256-{base64.b64encode(bytes.fromhex(sha256)).decode()}"


def _pretty(value: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"


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


def lock_fields(document: Document, version: str) -> dict[str, Any] | None:
    """The fields of one version, None for one that the document lacks."""
    raw = document.versions.get(version)
    if raw is None:
        return None
    fields = fields_of(raw)
    about = {name: value_of(fields[name]) for name in fields.keys() - {"dist", "readme"}}
    found: dict[str, Any] = {}
    for name in _TABLES:
        table = about.get(name)
        if isinstance(table, dict) and table:
            found[name] = table
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
    for name in _LISTS:
        value = about.get(name)
        value = [value] if isinstance(value, str) and value else value
        if isinstance(value, list) and value:
            found[name] = value
    found |= _texts(about)
    bin_ = _bin(document.name, about.get("bin"))
    if bin_:
        found["bin"] = bin_
    scripts = about.get("scripts")
    runs = isinstance(scripts, dict) and any(scripts.get(name) for name in _SCRIPTS)
    if runs or about.get("hasInstallScript") is True:
        found["hasInstallScript"] = True
    if about.get("_hasShrinkwrap") is True:
        found["hasShrinkwrap"] = True
    return dict(sorted(found.items()))


def _texts(about: dict[str, Any]) -> dict[str, Any]:
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


class NpmTable(Table, frozen=True):
    """`[npm]`: name → range, as in a package.json."""

    dependencies: dict[str, str] = msgspec.field(default_factory=dict)
    overrides: InOrder = msgspec.field(default_factory=InOrder)


class NpmLocks(Locks):
    """Exports package.json and package-lock.json."""

    table: ClassVar[type[Table] | None] = NpmTable
    requirements_in: ClassVar[str] = "dependencies"
    not_taken: ClassVar[Mapping[str, str]] = {
        "package.json": "the package-lock.json of `npm install --package-lock-only`, or another lock",
        "pnpm-workspace.yaml": "the pnpm-lock.yaml beside it",
        "bun.lock": "the package-lock.json of `npm install --package-lock-only`",
    }
    exports: ClassVar[Mapping[str, Export]] = {
        "package.json": Export("application/json", lambda lock, _: package_json(lock)),
        "package-lock.json": Export("application/json", package_lock),
    }
    lock_reads_index: ClassVar[bool] = True
    lock_fields = staticmethod(lock_fields)

    def roots(self, table: NpmTable) -> Iterator[RootRequirement]:
        for name, wanted in table.dependencies.items():
            yield ("dependencies", name), f"{name}@{wanted}"

    def project(self, table: NpmTable) -> str:
        try:
            return project_of(table.dependencies, table.overrides)
        except OverrideFault as error:
            raise TableFault(("overrides", *error.path), error.reason) from None

    def project_shown(self, project: str) -> dict[str, Any]:
        return {"overrides": InOrder(read_project(project)["overrides"])}

    def shown(self, roots: Sequence[str], apart: Sequence[str]) -> dict[str, Any]:
        return {"dependencies": dict(map(_split, roots))}


def _split(text: str) -> tuple[str, str]:
    """Name and range of "name@range", "@scope/name@range"."""
    name, _, wanted = text[1:].partition("@")
    return text[0] + name, wanted
