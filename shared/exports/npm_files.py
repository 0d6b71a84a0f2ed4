"""package.json and package-lock.json of a lock, as `npm ci` takes them.

npm documentation, "package-lock.json" (lockfileVersion 3): one entry for each place of installation, and
`resolved` at the Orchard that serves the file.
"""

from __future__ import annotations

import base64
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
    places = ((place, package) for package in lock.protocols["npm"].packages for place in package.locations)
    for place, package in sorted(places, key=lambda each: each[0]):
        packages[place] = _entry(place, package, base_url)
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
    if package.optional:
        entry["optional"] = True
    return entry


def _from_sha256(sha256: str) -> str:
    """Subresource Integrity of a file whose registry tells none."""
    return f"sha256-{base64.b64encode(bytes.fromhex(sha256)).decode()}"


def _pretty(value: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"
