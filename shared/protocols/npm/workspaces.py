"""A project of several packages as one text: its package.json, and those of its members by folder.

    {"packages": {"": {…}, "packages/a": {…}}}

npm's documentation, "workspaces"; the keys are those of a package-lock.json's `packages`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from shared.protocols.npm import names
from shared.protocols.npm.package_json import Declared, decoded, dependencies_of, read_about
from shared.protocols.npm.resolver.specs import read_spec
from shared.protocols.roles.locks import TableFault

MOST_MEMBERS = 500
MAX_FOLDER = 512  # characters
_ODD = re.compile(r"[\x00-\x1f\x7f\\:]")
_ALONE = (
    'the package.json of its members are needed too: {"packages": {"": …, "packages/a": …}}, which'
    " `orchard ensure package.json` makes where they lie"
)


class Whole(msgspec.Struct, frozen=True):
    """What a project's manifests say, in one spelling. `members` by folder, sorted."""

    root: dict[str, Any]
    members: dict[str, dict[str, Any]]

    @property
    def text(self) -> str:
        """Reads back as itself."""
        told: Any = {"packages": {"": self.root, **self.members}} if self.members else self.root
        return msgspec.json.encode(told).decode()

    @property
    def linked(self) -> frozenset[str]:
        """The names of the members, in small letters: the root depends on them, whatever it says."""
        return frozenset(each["name"].lower() for each in self.members.values())


def read_whole(text: str) -> Whole:
    """The project of a package.json, or of one with its members. Raises `TableFault`."""
    about = decoded(text)
    packages = about.get("packages")
    if not isinstance(packages, dict) or "" not in packages:
        if about.get("workspaces"):
            raise TableFault(("workspaces",), _ALONE)
        return Whole(read_about(about), {})
    root = _read(packages, "")
    members = {folder: _read(packages, folder) for folder in sorted(packages.keys() - {""})}
    if not root.get("workspaces") and members:
        raise TableFault(("packages", ""), "it has no `workspaces`, so nothing is a member of it")
    if root.get("workspaces") and not members:
        raise TableFault(("packages",), "it has `workspaces`, and no member is here")
    if len(members) > MOST_MEMBERS:
        raise TableFault(("packages",), f"at most {MOST_MEMBERS} members")
    folders: dict[str, str] = {}
    for folder, member in members.items():
        _check_folder(folder)
        name = member.get("name", "")
        if not names.is_name(name):
            raise TableFault(("packages", folder), "a member needs a name that a package can have")
        other = folders.setdefault(name.lower(), folder)
        if other != folder:
            raise TableFault(("packages", folder), f"its name is that of {other}: {name}")
    whole = Whole(root, members)
    for folder, one in theirs(whole):
        kind = read_spec(one.name, one.text).kind
        if kind in ("range", "version", "tag"):
            continue
        reason = "expected a range, a version, a tag or an alias"
        if kind == "address":
            reason = f"{one.name} is asked for by address; only names are resolved"
        raise TableFault(("packages", folder, one.group, one.name), reason)
    return whole


def own(whole: Whole) -> Iterator[Declared]:
    """What the root asks for beside its members."""
    linked = whole.linked
    return (one for one in dependencies_of(whole.root) if one.name.lower() not in linked)


def theirs(whole: Whole) -> Iterator[tuple[str, Declared]]:
    """What the members ask for, with their folders."""
    for folder, member in whole.members.items():
        for one in dependencies_of(member):
            yield folder, one


def _read(packages: Mapping[str, Any], folder: str) -> dict[str, Any]:
    about = packages[folder]
    if not isinstance(about, dict):
        raise TableFault(("packages", folder), "expected an object")
    try:
        found = read_about(about)
    except TableFault as error:
        raise TableFault(("packages", folder, *error.path), error.reason) from None
    if folder:  # npm looks at the root's alone
        found.pop("overrides", None)
    return found


def _check_folder(folder: str) -> None:
    parts = folder.split("/")
    if len(folder) > MAX_FOLDER or _ODD.search(folder) or {"", ".", "..", "node_modules"} & set(parts):
        raise TableFault(
            ("packages", ascii(folder)[1:-1][:80]), "a member lies in a folder below the project's own"
        )


def name_of_folder(folder: str) -> str:
    """What npm calls a package that lies there and has no name."""
    scope, _, last = folder.rpartition("/")
    around = scope.rpartition("/")[2]
    return f"{around}/{last}" if around.startswith("@") else last
