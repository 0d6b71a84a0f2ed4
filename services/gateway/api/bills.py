"""Bills of materials of a lock: CycloneDX 1.6 (ECMA-424) and SPDX 2.3. Pure: a lock in, bytes out."""

from __future__ import annotations

import base64
import binascii
import uuid
from collections.abc import Iterable
from typing import Any

import msgspec
from packageurl import PackageURL

from shared.protocols.lock import Lock, LockedPackage, graphs_of
from shared.version import VERSION

_NAMESPACE = uuid.UUID("4c1ee7f6-6f0e-5f0a-9a45-0c1f2b7c4d10")  # of serial numbers made here
_ALGORITHMS = {"sha512": "SHA-512", "sha384": "SHA-384", "sha1": "SHA-1"}


def cyclonedx(lock: Lock) -> bytes:
    """Components by package URL, with their hashes, and who depends on whom."""
    root = f"urn:orchard:ensure:{lock.key}"
    components, edges = _installed(lock)
    edges[root] = edges.pop("")
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


def spdx(lock: Lock, base_url: str) -> bytes:
    """SPDX 2.3: packages by package URL, with their hashes and where this Orchard has them. Its time is no
    time: the same lock gives the same bytes."""
    packages, edges = _installed(lock)
    ids = {"": "SPDXRef-ensure"} | {
        purl: f"SPDXRef-package-{number}" for number, purl in enumerate(sorted(packages), 1)
    }
    relations = [("SPDXRef-DOCUMENT", "DESCRIBES", ids[""])]
    for source in sorted(edges):
        targets = sorted(edges[source] & packages.keys())
        relations += [(ids[source], "DEPENDS_ON", ids[each]) for each in targets]
    about = {
        "SPDXID": ids[""],
        "name": "ensure",
        "versionInfo": lock.key,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
    }
    found = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": f"ensure {lock.key}",
        "documentNamespace": f"urn:orchard:ensure:{lock.key}",
        "creationInfo": {"created": "1970-01-01T00:00:00Z", "creators": [f"Tool: orchard-{VERSION}"]},
        "packages": [about, *(_package(ids[each], packages[each], base_url) for each in sorted(packages))],
        "relationships": [
            {"spdxElementId": source, "relationshipType": kind, "relatedSpdxElement": target}
            for source, kind, target in relations
        ],
    }
    return msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n"


def _package(reference: str, package: LockedPackage, base_url: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        "SPDXID": reference,
        "name": package.name,
        "versionInfo": package.version,
        "packageFileName": package.filename,
        "downloadLocation": base_url + package.path if package.path else "NOASSERTION",
        "filesAnalyzed": False,
        "externalRefs": [
            {
                "referenceCategory": "PACKAGE-MANAGER",
                "referenceType": "purl",
                "referenceLocator": package.purl,
            }
        ],
    }
    hashes = [
        {"algorithm": each["alg"].replace("-", ""), "checksumValue": each["content"]}
        for each in _hashes(package)
    ]
    return found | ({"checksums": hashes} if hashes else {})


def _installed(lock: Lock) -> tuple[dict[str, LockedPackage], dict[str, set[str]]]:
    """The packages that are installed, and whom each depends on, by package URL; "" is who asked for all."""
    packages: dict[str, LockedPackage] = {}
    edges: dict[str, set[str]] = {"": set()}
    for protocol in lock.protocols.values():
        for graph in graphs_of(protocol):
            # A lock of pins has no roots: it asks for each.
            edges[""].update(graph.roots or (each.purl for each in graph.packages))
            for package in graph.packages:
                if package.inert:
                    continue
                packages.setdefault(package.purl, package)
                edges.setdefault(package.purl, set()).update(package.dependencies)
    return packages, edges


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
