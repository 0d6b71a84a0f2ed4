"""Cargo.lock, versions 1 to 4, read as pins (The Cargo Book, "Cargo.toml vs Cargo.lock")."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar

from shared.errors import EnsureInvalid
from shared.models import FileName
from shared.protocols.cargo import names
from shared.protocols.cargo.index import IndexFile
from shared.protocols.cargo.semver import parse_version
from shared.protocols.reading.lock_text import Part, shown, toml_of
from shared.protocols.reading.purls import Purl
from shared.protocols.roles.pins import Found, LockKind, LockRead, NotFound, Pin, Pins, first_different

_REGISTRIES = ("registry+", "sparse+")
_CRATE = re.compile(r"([A-Za-z0-9_-]+)-([0-9]+\.[0-9]+\.[0-9]+(?:[-+].*)?)\.crate")


def read_lock(body: bytes) -> LockRead:
    """Packages with a registry as their source. Those without a source are the workspace's own."""
    lock = toml_of(body)
    if lock.number("version", 1) not in (1, 2, 3, 4):
        raise EnsureInvalid("version: 1 to 4 of Cargo.lock are read here")
    checksums = lock.table("metadata").value  # of version 1
    found = Found(fits)
    for package in lock.tables("package", "package"):
        name, version, source = package.text("name"), package.text("version"), package.text("source")
        if not source:
            continue
        if not source.startswith(_REGISTRIES):
            found.leave_out(shown(name), f"it comes from {shown(source)}")
            continue
        told = package.text("checksum") or checksums.get(f"checksum {name} {version} ({source})", "")
        if not told:
            raise package.fault("it has no checksum, which each crate of a registry has")
        found.add(package, _pin(package, name, version, package.digests({"sha256": told})))
    return found.read()


def _pin(at: Part, name: str, version: str, digests: tuple[tuple[str, str], ...]) -> Pin:
    if not names.is_name(name):
        raise at.fault("its name cannot be a crate's")
    if parse_version(version) is None:
        raise at.fault(f"`{shown(version)}` is no version")
    return Pin(names.canonical(name), version, "", digests)


def fits(project: str, version: str, filename: str) -> bool:
    """`Fits`: a file is called `{name}-{version}.crate`, or tells nothing ("download")."""
    told = _CRATE.fullmatch(filename)
    if told is None:
        return True
    same = names.canonical_version(told[2]) == names.canonical_version(version)
    return same and names.canonical(told[1]) == project


class CargoPins(Pins):
    """A version has one file."""

    kinds: ClassVar[Mapping[str, LockKind]] = {"Cargo.lock": LockKind(read_lock, re.compile(r"Cargo\.lock"))}

    def find(self, document: IndexFile, pin: Pin) -> FileName:
        line = document.find(pin.version)
        if line is None:
            raise NotFound("its index does not list this version")
        if first_different(pin.digests, {"sha256": line.cksum}):
            raise NotFound(f"its index gives it the sha256 {line.cksum}", differs=True)
        return FileName("cargo", pin.name, pin.version, names.filename(pin.name, pin.version))

    fits = staticmethod(fits)

    def of_purl(self, purl: Purl, digests: tuple[tuple[str, str], ...]) -> Pin:
        return _pin(Part({}, ""), purl.name, purl.version, digests)
