"""`python -m services.standalone.bundles.locked BUNDLE [--kind KIND] [--name NAME] < LOCK`: what of a lock a
bundle has, as JSON. `orchard verify LOCK --bundle` runs it, and proves what it tells.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from services.standalone.command import ended
from shared.builds.entries import BuildList
from shared.bundles.form import BundleRefused, read_head
from shared.bundles.manifest import read_manifest
from shared.protocols import find_protocol
from shared.protocols.base import PackageProxyBase
from shared.resolving.locked import LockedFile, LockedFiles, Stored, matched, read_locked


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0; 1: a bundle or a lock that cannot be read, and one line says why."""
    parser = argparse.ArgumentParser(prog="python -m services.standalone.bundles.locked", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--kind", default="")
    parser.add_argument("--name", default="")
    options = parser.parse_args(arguments)

    def work() -> int:
        with options.file.open("rb") as file:
            manifest, _ = read_manifest(read_head(file.read))
        told = locked(manifest.listed, sys.stdin.buffer.read(), options.kind, options.name)
        sys.stdout.write(msgspec.json.encode(told).decode())
        return 0

    return ended(work, options.file, BundleRefused)


def locked(listed: BuildList, body: bytes, kind: str, name: str) -> LockedFiles:
    """Which of these files a lock names. Raises `EnsureInvalid` with the place of what is wrong in it."""
    found, lock = read_locked(body, kind, name)
    files: list[LockedFile] = []
    for of, pins in lock.pins.items():
        protocol = find_protocol(of)
        assert protocol is not None
        files += matched(protocol, {pin.name for pin in pins}, pins, _stored(listed, protocol))
    return LockedFiles(found, files, list(lock.elsewhere))


def _stored(listed: BuildList, protocol: PackageProxyBase) -> Iterator[Stored]:
    """Packages' own files: no lock names what was read out of one."""
    for each in listed.files:
        stored = each.stored if each.protocol == protocol.name else None
        if stored is not None and protocol.archive.parent_of(stored.filename) is None:
            yield Stored(each.file, stored.sha256, stored.digests)


if __name__ == "__main__":
    sys.exit(main())
