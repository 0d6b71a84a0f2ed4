"""package-lock.json, lockfileVersion 1 to 3, and npm-shrinkwrap.json (both: npm documentation)."""

from __future__ import annotations

from shared.errors import EnsureInvalid
from shared.protocols.npm.pinning.found import Found, alias_of, is_of_registry
from shared.protocols.reading.lock_text import Part, json_of, shown
from shared.protocols.roles.pins import LockRead

_FOLDER = "node_modules/"


def read(body: bytes) -> LockRead:
    """`packages` where there is one; else the nested `dependencies` of the first version."""
    lock, found = json_of(body), Found()
    if lock.number("lockfileVersion", 1) not in (1, 2, 3):
        raise EnsureInvalid("lockfileVersion: 1, 2 and 3 are read here")
    if "packages" in lock:
        _packages(lock.table("packages"), found)
    else:
        _nested(lock, found)
    return found.read()


def _packages(packages: Part, found: Found) -> None:
    for number, place in enumerate(packages.value, 1):
        entry = Part(packages.table(place).value, f"package {number}, `{shown(place)}`")
        if _FOLDER not in place or entry.value.get("link") is True or entry.value.get("inBundle") is True:
            continue  # a folder of the project, or inside another's tarball
        name = entry.text("name") or place.rpartition(_FOLDER)[2]
        address = entry.text("resolved")
        if is_of_registry(address):
            found.add_package(entry, name, entry.text("version"), entry.text("integrity"), address)
        else:
            found.leave_out_package(name, address)


def _nested(lock: Part, found: Found) -> None:
    left = [lock]
    while left:
        above = left.pop()
        for name, value in above.table("dependencies").value.items():
            place = f"{above.place} > `{shown(name)}`" if above.place else f"`{shown(name)}`"
            if not isinstance(value, dict):
                raise EnsureInvalid(f"{place}: it is no table")
            entry = Part(value, place)
            left.append(entry)
            if value.get("bundled") is True:
                continue
            version, address = entry.text("version"), entry.text("resolved")
            real = alias_of(version)
            if real:
                version = version.rpartition("@")[2]
            if ":" in version or "/" in version:
                if not version.startswith("file:") or version.endswith((".tgz", ".tar.gz")):
                    found.leave_out_package(name, version)
            elif is_of_registry(address):
                found.add_package(entry, real or name, version, entry.text("integrity"), address)
            else:
                found.leave_out_package(name, address)
