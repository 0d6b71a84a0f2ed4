"""What tests of inner locks share: npm-shrinkwrap.json in its forms, and made-up ones."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from shared.errors import OrchardError
from tests.shared.protocols.npm.resolver.resolution_support import Table, resolve

Places = Mapping[str, tuple[str, Mapping[str, Any]]]
"""Folder without its node_modules ("b/c") → version, and further fields of the entry."""


def needs(**dependencies: str) -> dict[str, Any]:
    return {"dependencies": dependencies}


def _fields(place: str, version: str, more: Mapping[str, Any]) -> dict[str, Any]:
    name = more.get("name") or _names(place)[-1]
    return {
        "version": version,
        "resolved": f"https://registry.example.com/{name}/-/{name.rpartition('/')[2]}-{version}.tgz",
        "integrity": f"sha512-{name}-{version}",
        **more,
    }


def _names(place: str) -> list[str]:
    """Of "b/@s/c" b and @s/c."""
    found: list[str] = []
    for part in place.split("/"):
        if found and found[-1].startswith("@") and "/" not in found[-1]:
            found[-1] += f"/{part}"
        else:
            found.append(part)
    return found


def _around(place: str) -> str:
    return "/".join(_names(place)[:-1])


def locked(places: Places) -> dict[str, Any]:
    """An npm-shrinkwrap.json of lockfileVersion 3."""
    packages: dict[str, Any] = {"": {"name": "whatever", "version": "1.0.0"}}
    for place, (version, more) in places.items():
        folder = "/".join(f"node_modules/{name}" for name in _names(place))
        packages[folder] = _fields(place, version, more)
    return {"name": "whatever", "lockfileVersion": 3, "requires": True, "packages": packages}


def locked_1(places: Places) -> dict[str, Any]:
    """The same of lockfileVersion 1. `optional` marks are kept, and kinds of dependencies are not."""
    top: dict[str, Any] = {"name": "whatever", "lockfileVersion": 1, "requires": True, "dependencies": {}}
    for place, (version, more) in sorted(places.items(), key=lambda each: len(_names(each[0]))):
        around = top
        *outer, name = _names(place)
        for each in outer:
            around = around["dependencies"][each]
        told = _fields(place, version, more)
        entry = {key: told[key] for key in ("version", "resolved", "integrity")}
        if "name" in more:
            entry["version"] = f"npm:{more['name']}@{version}"
        entry |= {key: True for key in ("optional", "dev", "bundled") if more.get(key)}
        requires = {**more.get("dependencies", {}), **more.get("optionalDependencies", {})}
        if requires:
            entry["requires"] = requires
        around.setdefault("dependencies", {})[name] = entry
    return top


def generated_locks(chance: random.Random, table: Table) -> Table:
    """The registry, some of whose packages bring a lock: mostly of what they need, with versions of their
    own choice and now and then without an entry."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for name, versions in table.items():
        found[name] = {version: dict(about) for version, about in versions.items()}
        for version in versions:
            if chance.random() < 0.4:
                places = _places(chance, table, name, version)
                if places is not None:
                    found[name][version]["npm-shrinkwrap"] = chance.choice((locked, locked_1))(places)
    return found


def _places(chance: random.Random, table: Table, name: str, version: str) -> Places | None:
    about = table[name][version]
    wanted = {**about.get("dependencies", {}), **about.get("optionalDependencies", {})}
    if not wanted:
        return {}
    try:
        found = resolve(table, *(f"{each}@{text}" for each, text in wanted.items()))
    except OrchardError:
        return None
    places: dict[str, tuple[str, dict[str, Any]]] = {}
    for node in found.nodes:
        for location in sorted(node.locations):
            place = location.replace("node_modules/", "")
            taken = node.version
            if chance.random() < 0.15:
                taken = chance.choice(sorted(table[node.name]))
            told = {**table[node.name][taken], "integrity": ""}  # of a tarball that is not made yet
            if node.name != _names(place)[-1]:
                told["name"] = node.name
            if node.optional:
                told["optional"] = True
            told.pop("deprecated", None)
            places[place] = (taken, told)
    while gone := [place for place in places if _around(place) and _around(place) not in places]:
        del places[gone[0]]
    if places and chance.random() < 0.2:
        gone = chance.choice(sorted(places))
        places = {each: told for each, told in places.items() if f"{each}/".find(f"{gone}/") != 0}
    return places
