"""A lock exported as package-lock.json, as `npm ci` takes it, and what it holds of a version beside its file.

Of lockfileVersion 3 (npm documentation, "package-lock.json"): one entry for each place of installation, and
`resolved` at the Orchard that serves the file.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import msgspec

from shared.protocols.lock import Lock, LockedPackage
from shared.protocols.npm.document import Document
from shared.protocols.npm.lock_marks import mark
from shared.protocols.npm.package_json import entry_fields
from shared.protocols.npm.resolver.overrides import OverrideFault
from shared.protocols.npm.resolver.projects import project_of, project_of_manifest, read_project
from shared.protocols.npm.workspaces import Whole, name_of_folder, own, read_whole, theirs
from shared.protocols.reading.json_text import fields_of, value_of
from shared.protocols.roles.locks import Export, InOrder, Locks, Manifest, RootRequirement, Table, TableFault

NAME, VERSION = "ensured", "1.0.0"


def package_json(lock: Lock) -> bytes:
    """The project whose lock it is: of an ensure file one that depends on what the file lists."""
    whole = _whole(lock)
    if whole is not None:
        return _pretty(whole.root)
    about = {"name": NAME, "version": VERSION, "private": True, "dependencies": _wanted(lock)}
    overrides = lock.ensure["npm"].get("overrides")
    return _pretty(about | {"overrides": overrides} if overrides else about)


def package_lock(lock: Lock, base_url: str) -> bytes:
    """The installed tree, place by place."""
    whole = _whole(lock)
    if whole is None:
        whole = Whole({"name": NAME, "version": VERSION, "dependencies": _wanted(lock)}, {})
    about = whole.root
    packages: dict[str, Any] = {"": _told(about)}
    for folder, member in whole.members.items():
        packages[folder] = _told(member)
        if name_of_folder(folder) == member["name"]:
            del packages[folder]["name"]
        packages[f"node_modules/{member['name']}"] = {"resolved": folder, "link": True}
    places = {place: package for package in lock.protocols["npm"].packages for place in package.locations}
    for place, package in sorted(places.items()):
        packages[place] = _entry(place, package, base_url)
    mark(packages)
    found = {
        "name": about.get("name", NAME),
        **({"version": about["version"]} if "version" in about else {}),
        "lockfileVersion": 3,
        "requires": True,
        "packages": packages,
    }
    return _pretty(found)


def _whole(lock: Lock) -> Whole | None:
    """The project that the lock was made of; None for an ensure file's dependencies."""
    project = lock.ensure["npm"].get("project")
    return read_whole(project) if project else None


def _told(manifest: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in manifest.items() if key not in ("overrides", "private")}


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


def _from_sha256(sha256: str) -> str:
    """Subresource Integrity of a file whose registry tells none."""
    return f"sha256-{base64.b64encode(bytes.fromhex(sha256)).decode()}"


def _pretty(value: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"


def lock_fields(document: Document, version: str) -> dict[str, Any] | None:
    """The fields of one version, None for one that the document lacks."""
    raw = document.versions.get(version)
    if raw is None:
        return None
    fields = fields_of(raw)
    about = {name: value_of(fields[name]) for name in fields.keys() - {"dist", "readme"}}
    return entry_fields(about, document.name)


class NpmTable(Table, frozen=True):
    """`[npm]`: name → range, as in a package.json; or a whole one."""

    dependencies: dict[str, str] = msgspec.field(default_factory=dict)
    overrides: InOrder = msgspec.field(default_factory=InOrder)
    project: str = ""  # the text of a package.json, in place of both


class NpmLocks(Locks):
    """Exports package.json and package-lock.json."""

    table: ClassVar[type[Table] | None] = NpmTable
    requirements_in: ClassVar[str] = "dependencies"
    manifests: ClassVar[Mapping[str, Manifest]] = {
        "package.json": Manifest(re.compile(r"package\.json"), "project", "workspaces")
    }
    not_taken: ClassVar[Mapping[str, str]] = {
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
        if table.project:
            whole = _project(table)
            seen = set(whole.linked)
            for one in own(whole):
                seen.add(one.name.lower())
                yield ("project", one.group, one.name), f"{one.name}@{one.text}"
            for folder, one in theirs(whole):  # the first of each name stands for all: the project says more
                if one.name.lower() not in seen:
                    seen.add(one.name.lower())
                    yield ("project", "packages", folder, one.group, one.name), f"{one.name}@{one.text}"

    def project(self, table: NpmTable) -> str:
        where: tuple[str, ...] = ("project", "overrides") if table.project else ("overrides",)
        try:
            if table.project:
                whole = _project(table)
                return project_of_manifest(whole.root, whole.members)
            return project_of(table.dependencies, table.overrides)
        except OverrideFault as error:
            raise TableFault((*where, *error.path), error.reason) from None

    def shown(self, roots: Sequence[str], apart: Sequence[str], project: str) -> dict[str, Any]:
        told = read_project(project) if project else {}
        if "manifest" in told:
            return {"project": Whole(told["manifest"], told.get("members", {})).text}
        found: dict[str, Any] = {"dependencies": dict(map(_split, roots))}
        return found | {"overrides": InOrder(told["overrides"])} if told else found


def _project(table: NpmTable) -> Whole:
    for key in ("dependencies", "overrides"):
        if getattr(table, key):
            raise TableFault((key,), "they stand in the package.json that is the value of `project`")
    try:
        return read_whole(table.project)
    except TableFault as error:
        raise TableFault(("project", *error.path), error.reason) from None


def _split(text: str) -> tuple[str, str]:
    """Name and range of "name@range", "@scope/name@range"."""
    name, _, wanted = text[1:].partition("@")
    return text[0] + name, wanted
