"""pnpm-lock.yaml, lockfileVersion 6 and 9 (pnpm 8 to 10)."""

from __future__ import annotations

import re

from shared.errors import EnsureInvalid
from shared.protocols.npm.pinning.found import Found
from shared.protocols.npm.semver import parse_version
from shared.protocols.reading.lock_text import Part, shown
from shared.protocols.reading.yaml_text import yaml_of
from shared.protocols.roles.pins import LockRead

_PEERS = re.compile(r"\(.*")


def read(body: bytes) -> LockRead:
    """`packages`, by "name@version": of 6 with a slash before it, and the chosen peers in brackets behind."""
    lock, found = yaml_of(body), Found()
    if lock.text("lockfileVersion").partition(".")[0] not in ("6", "9"):
        raise EnsureInvalid("lockfileVersion: 6 and 9 are read here")
    packages = lock.table("packages")
    for number, key in enumerate(packages.value, 1):
        entry = Part(packages.table(key).value, f"package {number}, `{shown(key)}`")
        name, _, version = _PEERS.sub("", key.removeprefix("/")).rpartition("@")
        resolution = entry.table("resolution")
        kind = resolution.text("type")
        if kind == "directory":
            continue
        integrity, address = (
            resolution.text("integrity"),
            resolution.text("tarball") or resolution.text("repo"),
        )
        if kind or parse_version(version, loose=False) is None or (address and not integrity):
            found.leave_out_package(entry.text("name") or key, address or key)
        else:
            found.add_package(entry, name, version, integrity, address)
    return found.read()
