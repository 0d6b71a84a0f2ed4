"""Bills of materials: CycloneDX 1.6 (ECMA-424) and SPDX 2.3. Pure: the same bill gives the same documents."""

from __future__ import annotations

import uuid
from typing import Any

import msgspec

from shared.policy.licences import Unreadable, spelt
from shared.protocols.reading.purls import read_purl
from shared.version import VERSION

_NAMESPACE = uuid.UUID("4c1ee7f6-6f0e-5f0a-9a45-0c1f2b7c4d10")  # of serial numbers made here
NOT_KNOWN = "NOASSERTION"


class Component(msgspec.Struct, frozen=True, omit_defaults=True):
    """One file. `licence` and `supplier`: None where nobody looked, "" where nothing tells."""

    purl: str  # names it in the bill
    version: str
    filename: str
    size_bytes: int
    name: str = ""  # of the package, as its protocol has it
    hashes: tuple[tuple[str, str], ...] = ()  # "SHA-256" and its like → hex
    location: str = ""  # where it was, or is, to be had
    licence: str | None = None  # as its publisher writes it
    supplier: str | None = None  # a person's name, as the publisher writes it
    optional: bool = False


class Bill(msgspec.Struct, frozen=True):
    """What something is made of. `edges`: who needs whom, by package URL; "" is that which all is for."""

    kind: str  # "ensure", "build"
    key: str  # names it among those of its kind
    components: dict[str, Component]  # by package URL
    edges: dict[str, set[str]]
    created: str = ""  # RFC 3339; "" for what has no time


def cyclonedx(bill: Bill) -> dict[str, Any]:
    """Components by package URL, with their hashes, and who depends on whom."""
    root, components = f"urn:orchard:{bill.kind}:{bill.key}", bill.components
    edges = {ref or root: targets for ref, targets in bill.edges.items()}
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(_NAMESPACE, bill.key)}",
        "version": 1,
        "metadata": {
            **({"timestamp": bill.created} if bill.created else {}),
            "tools": {"components": [{"type": "application", "name": "orchard", "version": VERSION}]},
            "component": {"type": "application", "bom-ref": root, "name": bill.kind, "version": bill.key},
        },
        "components": [_component(components[purl]) for purl in sorted(components)],
        "dependencies": [
            {"ref": ref, "dependsOn": sorted(target for target in edges[ref] if target in components)}
            for ref in sorted(edges)
        ],
    }


def spdx(bill: Bill) -> dict[str, Any]:
    """Packages by package URL, with their hashes and where they are. What has no time says 1970."""
    packages, edges = bill.components, bill.edges
    ids = {"": f"SPDXRef-{bill.kind}"} | {
        purl: f"SPDXRef-package-{number}" for number, purl in enumerate(sorted(packages), 1)
    }
    relations = [("SPDXRef-DOCUMENT", "DESCRIBES", ids[""])]
    for source in sorted(edges):
        targets = sorted(edges[source] & packages.keys())
        relations += [(ids[source], "DEPENDS_ON", ids[each]) for each in targets]
    about = {
        "SPDXID": ids[""],
        "name": bill.kind,
        "versionInfo": bill.key,
        "downloadLocation": NOT_KNOWN,
        "filesAnalyzed": False,
    }
    created = bill.created or "1970-01-01T00:00:00Z"
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": f"{bill.kind} {bill.key}",
        "documentNamespace": f"urn:orchard:{bill.kind}:{bill.key}",
        "creationInfo": {"created": created, "creators": [f"Tool: orchard-{VERSION}"]},
        "packages": [about, *(_package(ids[each], packages[each]) for each in sorted(packages))],
        "relationships": [
            {"spdxElementId": source, "relationshipType": kind, "relatedSpdxElement": target}
            for source, kind, target in relations
        ],
    }


def _component(of: Component) -> dict[str, Any]:
    purl = read_purl(of.purl)
    component: dict[str, Any] = {"type": "library", "bom-ref": of.purl}
    if of.supplier:
        component["supplier"] = {"name": of.supplier}
    if purl.namespace:
        component["group"] = purl.namespace
    component |= {
        "name": purl.name,
        "version": of.version,
        "scope": "optional" if of.optional else "required",
    }
    if of.hashes:
        component["hashes"] = [{"alg": name, "content": digest} for name, digest in of.hashes]
    if of.licence:
        expression = _expression(of.licence)
        component["licenses"] = (
            [{"expression": expression}] if expression else [{"license": {"name": of.licence}}]
        )
    component["purl"] = of.purl
    if of.location and of.licence is not None:
        component["externalReferences"] = [{"type": "distribution", "url": of.location}]
    component["properties"] = [
        {"name": "orchard:filename", "value": of.filename},
        {"name": "orchard:size_bytes", "value": str(of.size_bytes)},
    ]
    return component


def _package(reference: str, of: Component) -> dict[str, Any]:
    found: dict[str, Any] = {
        "SPDXID": reference,
        "name": of.name,
        "versionInfo": of.version,
        "packageFileName": of.filename,
        "downloadLocation": of.location or NOT_KNOWN,
        "filesAnalyzed": False,
        "externalRefs": [
            {
                "referenceCategory": "PACKAGE-MANAGER",
                "referenceType": "purl",
                "referenceLocator": of.purl,
            }
        ],
    }
    if of.hashes:
        found["checksums"] = [
            {"algorithm": name.replace("-", ""), "checksumValue": digest} for name, digest in of.hashes
        ]
    if of.supplier is not None:
        found["supplier"] = f"Person: {of.supplier}" if of.supplier else NOT_KNOWN
    if of.licence is not None:
        found |= {"licenseConcluded": NOT_KNOWN, "licenseDeclared": _expression(of.licence) or NOT_KNOWN}
    return found


def _expression(licence: str) -> str:
    """What a publisher wrote, as an SPDX expression; "" where it is none."""
    try:
        return spelt(licence)
    except Unreadable:
        return ""
