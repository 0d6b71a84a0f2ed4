"""The formats a lock is exported in, for clients to use as they are. Pure: a lock in, bytes out.

Those of a protocol are made in its folder. That of all packages is made here: a CycloneDX 1.6 bill of
materials (ECMA-424).
"""

from __future__ import annotations

import base64
import binascii
import uuid
from collections.abc import Iterable
from typing import Any

import msgspec
from packageurl import PackageURL

from shared.protocols import PROTOCOLS
from shared.protocols.lock import Lock, LockedPackage, graphs_of
from shared.protocols.roles.locks import Export
from shared.version import VERSION

_NAMESPACE = uuid.UUID("4c1ee7f6-6f0e-5f0a-9a45-0c1f2b7c4d10")  # of serial numbers made here
_ALGORITHMS = {"sha512": "SHA-512", "sha384": "SHA-384", "sha1": "SHA-1"}


def bom(lock: Lock) -> bytes:
    """Components by package URL, with their hashes, and who depends on whom."""
    root = f"urn:orchard:ensure:{lock.key}"
    components: dict[str, LockedPackage] = {}
    edges: dict[str, set[str]] = {root: set()}
    for protocol in lock.protocols.values():
        for graph in graphs_of(protocol):
            edges[root].update(graph.roots)
            for package in graph.packages:
                if package.inert:
                    continue
                components.setdefault(package.purl, package)
                edges.setdefault(package.purl, set()).update(package.dependencies)
    found = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(_NAMESPACE, lock.key)}",
        "version": 1,
        "metadata": {
            "tools": {"components": [{"type": "application", "name": "orchard", "version": VERSION}]},
            "component": {"type": "application", "bom-ref": root, "name": "ensure", "version": lock.key},
        },
        "components": [_component(components[purl]) for purl in sorted(components)],
        "dependencies": [
            {"ref": ref, "dependsOn": sorted(target for target in edges[ref] if target in components)}
            for ref in sorted(edges)
        ],
    }
    return msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n"


def _component(package: LockedPackage) -> dict[str, Any]:
    purl = PackageURL.from_string(package.purl)
    component: dict[str, Any] = {"type": "library", "bom-ref": package.purl}
    if purl.namespace:
        component["group"] = purl.namespace
    component |= {
        "name": purl.name,
        "version": package.version,
        "scope": "optional" if package.optional else "required",
    }
    hashes = list(_hashes(package))
    if hashes:
        component["hashes"] = hashes
    component |= {
        "purl": package.purl,
        "properties": [
            {"name": "orchard:filename", "value": package.filename},
            {"name": "orchard:size_bytes", "value": str(package.size_bytes)},
        ],
    }
    return component


def _hashes(package: LockedPackage) -> Iterable[dict[str, str]]:
    if package.sha256:
        yield {"alg": "SHA-256", "content": package.sha256}
    seen = set()
    for token in package.integrity.split():
        algorithm, _, encoded = token.partition("?")[0].partition("-")
        if algorithm in _ALGORITHMS and algorithm not in seen:
            seen.add(algorithm)
            try:
                digest = base64.b64decode(encoded, validate=True).hex()
            except (binascii.Error, ValueError):
                continue
            yield {"alg": _ALGORITHMS[algorithm], "content": digest}


BOM = Export("application/vnd.cyclonedx+json; version=1.6", lambda lock, _: bom(lock), of_pins=True)
"""Of all protocols at once."""

EXPORTS: dict[str, tuple[str, Export]] = {
    **{name: (each.name, export) for each in PROTOCOLS for name, export in each.locks.exports.items()},
    "bom.cdx.json": ("", BOM),
}
"""By the name of the file: the protocol whose table it is of ("" for all), and how it is made."""
