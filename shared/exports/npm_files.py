"""package.json and package-lock.json of a lock, as `npm ci` takes them.

npm documentation, "package-lock.json" (lockfileVersion 3): one entry for each place of installation, and
`resolved` at the Orchard that serves the file.
"""

from __future__ import annotations

import base64
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import msgspec

from shared.ensure_lock import Lock, LockedPackage

NAME, VERSION = "ensured", "1.0.0"


def package_json(lock: Lock) -> bytes:
    """A project that depends on what the ensure file lists."""
    about = {"name": NAME, "version": VERSION, "private": True, "dependencies": _wanted(lock)}
    return _pretty(about)


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
    entry |= {
        "version": package.version,
        "resolved": base_url + package.path,
        **package.manifest,
    }
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
