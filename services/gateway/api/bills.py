"""Bills of materials of a lock. Pure: a lock in, bytes out."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from typing import Any

import msgspec

from shared.protocols.lock import Lock, LockedPackage, graphs_of
from shared.statements import bills
from shared.statements.bills import Bill, Component

_ALGORITHMS = {"sha512": "SHA-512", "sha384": "SHA-384", "sha1": "SHA-1"}


def cyclonedx(lock: Lock) -> bytes:
    """CycloneDX 1.6."""
    return _written(bills.cyclonedx(_bill(lock, "")))


def spdx(lock: Lock, base_url: str) -> bytes:
    """SPDX 2.3, with where this Orchard has the packages."""
    return _written(bills.spdx(_bill(lock, base_url)))


def _written(document: dict[str, Any]) -> bytes:
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def _bill(lock: Lock, base_url: str) -> Bill:
    """The packages that are installed, and whom each depends on."""
    packages: dict[str, Component] = {}
    edges: dict[str, set[str]] = {"": set()}
    for protocol in lock.protocols.values():
        for graph in graphs_of(protocol):
            # A lock of pins has no roots: it asks for each.
            edges[""].update(graph.roots or (each.purl for each in graph.packages))
            for package in graph.packages:
                if package.inert:
                    continue
                packages.setdefault(package.purl, _component(package, base_url))
                edges.setdefault(package.purl, set()).update(package.dependencies)
    return Bill("ensure", lock.key, packages, edges)


def _component(package: LockedPackage, base_url: str) -> Component:
    return Component(
        purl=package.purl,
        version=package.version,
        filename=package.filename,
        size_bytes=package.size_bytes,
        name=package.name,
        hashes=tuple(_hashes(package)),
        location=base_url + package.path if package.path else "",
        optional=package.optional,
    )


def _hashes(package: LockedPackage) -> Iterable[tuple[str, str]]:
    if package.sha256:
        yield "SHA-256", package.sha256
    seen = set()
    for token in package.integrity.split():
        algorithm, _, encoded = token.partition("?")[0].partition("-")
        if algorithm in _ALGORITHMS and algorithm not in seen:
            seen.add(algorithm)
            try:
                digest = base64.b64decode(encoded, validate=True).hex()
            except (binascii.Error, ValueError):
                continue
            yield _ALGORITHMS[algorithm], digest
