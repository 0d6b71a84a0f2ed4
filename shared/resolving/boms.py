"""Bills of materials read as pins of several protocols, by package URL: CycloneDX 1.2 to 1.6 (ECMA-424) and
SPDX 2.2 and 2.3, both as JSON."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from shared.errors import EnsureInvalid
from shared.marks import Mark
from shared.protocols import PROTOCOLS
from shared.protocols.reading.lock_text import DIGITS, MOST_PINS, Digests, Part, basename, json_of, shown
from shared.protocols.reading.purls import read_purl
from shared.protocols.roles.pins import Elsewhere, Pin, check_named

Named = tuple[dict[str, list[Pin]], list[Elsewhere]]
"""Pins by protocol, and what is of none."""

_CODE = ("", "library", "framework")  # of a component's type: what may come from a registry


class BomKind(msgspec.Struct, frozen=True):
    """As `LockKind`, of several protocols."""

    read: Callable[[bytes], Named]
    filename: re.Pattern[str]
    mark: Mark | None


def read_cyclonedx(body: bytes) -> Named:
    """Its components, nested ones too. Digests of a component's distributions count before its own."""
    bom, found = json_of(body), _Found()
    if bom.text("bomFormat") != "CycloneDX":
        raise EnsureInvalid("bomFormat: expected CycloneDX")
    left = list(bom.tables("components", "component"))[::-1]
    while left:
        component = left.pop()
        left += list(component.tables("components", "component"))[::-1]
        found.count()
        purl = component.text("purl")
        if not purl:
            if component.text("type") in _CODE:
                found.leave_out(component.text("name"), "it has no package URL")
            continue
        distributions = list(_distributions(component))
        if distributions:
            for address, digests in distributions:
                found.add(component, purl, digests, basename(address))
        else:
            found.add(component, purl, _hashes(component, "hashes", "alg", "content"))
    return found.pins, found.elsewhere


def _distributions(component: Part) -> Iterator[tuple[str, Digests]]:
    for reference in component.tables("externalReferences", "reference"):
        if reference.text("type") == "distribution":
            digests = _hashes(reference, "hashes", "alg", "content")
            if digests:
                yield reference.text("url"), digests


def read_spdx(body: bytes) -> Named:
    """Its packages; the one that the document describes is the build itself."""
    bom, found = json_of(body), _Found()
    if not bom.text("spdxVersion").startswith("SPDX-2."):
        raise EnsureInvalid("spdxVersion: expected SPDX-2.2 or SPDX-2.3")
    listed = bom.value.get("documentDescribes") or []
    if not isinstance(listed, list):
        raise bom.fault("documentDescribes is no list")
    described = set(map(str, listed))
    for relation in bom.tables("relationships", "relationship"):
        if relation.text("relationshipType") == "DESCRIBES":
            described.add(relation.text("relatedSpdxElement"))
    for package in bom.tables("packages", "package"):
        found.count()
        if package.text("SPDXID") in described:
            continue
        purls = [
            reference.text("referenceLocator")
            for reference in package.tables("externalRefs", "reference")
            if reference.text("referenceType") == "purl"
        ]
        digests = _hashes(package, "checksums", "algorithm", "checksumValue")
        for purl in purls:
            found.add(package, purl, digests, told=basename(package.text("packageFileName")))
        if not purls:
            found.leave_out(package.text("name"), "it has no package URL")
    return found.pins, found.elsewhere


def _hashes(at: Part, key: str, algorithm: str, digest: str) -> Digests:
    """Those of a kind that is compared; none is no fault."""
    told: dict[str, Any] = {each.text(algorithm): each.text(digest) for each in at.tables(key, "hash")}
    known = {name: value for name, value in told.items() if name.lower().replace("-", "") in DIGITS}
    return at.digests(known) if known else ()


class _Found:
    """Collects what a bill names, up to the bound."""

    def __init__(self) -> None:
        self.pins: dict[str, list[Pin]] = {}
        self.elsewhere: list[Elsewhere] = []
        self._protocols = {each.names.purl_type: each for each in PROTOCOLS}
        self._count = 0

    def count(self) -> None:
        self._count += 1
        if self._count > MOST_PINS:
            raise EnsureInvalid(f"it names more than {MOST_PINS} packages")

    def leave_out(self, name: str, reason: str) -> None:
        self.elsewhere.append(Elsewhere(shown(name), reason))

    def add(self, at: Part, text: str, digests: Digests, filename: str = "", told: str = "") -> None:
        """`filename`: of a distribution. `told`: another name of the file, by which it is not found."""
        try:
            purl = read_purl(text)
        except ValueError:
            raise at.fault(f"`{shown(text)}` is no package URL") from None
        protocol = self._protocols.get(purl.kind)
        more = purl.qualifiers
        if protocol is None or more.get("vcs_url") or more.get("download_url"):
            self.leave_out(text, "it is of no registry that is spoken here")
            return
        if more.get("repository_url") and not digests:
            self.leave_out(text, "it is of another repository, and tells no hash of its file")
            return
        if filename and "file_name" not in more:
            purl = msgspec.structs.replace(purl, qualifiers={**more, "file_name": filename})
        names = protocol.names
        project = names.project_of_purl(purl.namespace, purl.name)
        if not names.is_project_name(project) or not purl.version or not names.is_version(purl.version):
            raise at.fault(f"`{shown(text)}` names no version of a project")
        try:
            pin = protocol.pins.of_purl(purl, digests)
        except ValueError as error:
            self.leave_out(text, str(error))
            return
        for each in (filename, more.get("file_name", ""), told):
            check_named(at, pin, each, protocol.pins.fits)
        self.pins.setdefault(protocol.name, []).append(pin)


KINDS = {
    "cyclonedx": BomKind(read_cyclonedx, re.compile(r".+\.json"), Mark("bomFormat", "CycloneDX")),
    "spdx": BomKind(read_spdx, re.compile(r".+\.json"), Mark("spdxVersion", "SPDX-2")),
}
