"""The effective dependencies of a POM, as a pure step: known POMs → result, or the POMs still needed.

Maven's model building (maven-model-builder, "Model Builder"): default-active profiles into their POM,
inheritance from the parents, interpolation, imported BOMs, dependency management. Bounded in parents,
documents and text; cycles end where they close. What cannot be settled is kept as it is written and
named in `problems`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import chain

import msgspec

from shared.models import Dependency
from shared.protocols.derivation import Derived, DocumentName, Needed
from shared.protocols.maven import names
from shared.protocols.maven.metadata import dependency
from shared.protocols.maven.model import Coordinates, Key, Pom, RawDependency

MAX_PARENTS = 64
MAX_IMPORTS_DEEP = 16
MAX_POMS = 400
MAX_TEXT = 1024
_REFERENCE = re.compile(r"\$\{([^${}]{1,200})\}")

Poms = Mapping[DocumentName, Pom | None]
"""What is known: a POM, or None for one that truly is not there or cannot be read."""


def derive(start: DocumentName, poms: Poms) -> Derived | Needed:
    """The effective dependencies of the POM `start`."""
    work = _Work(poms)
    lineage = work.lineage(start)
    if not lineage:
        return work.needed or Derived(problems=tuple(work.problems))
    model = _Model(lineage, work)
    relocation = lineage[0].relocation
    found = model.dependencies() if relocation is None else ()
    if work.needed is not None:
        return work.needed
    target = ""
    if relocation is not None:
        target = str(Coordinates(*(model.text(text) for text in msgspec.structs.astuple(relocation))))
    return Derived(found, tuple(dict.fromkeys(work.problems)), target)


def document_name(at: Coordinates) -> DocumentName | None:
    """The POM file of these coordinates; None for what no repository path can hold."""
    plain = all(map(names.is_group_segment, at.group.split("."))) and names.is_artifact(at.artifact)
    if not plain or not names.is_version(at.version):
        return None
    return DocumentName(f"{at.group}:{at.artifact}", at.version, f"{at.artifact}-{at.version}.pom")


class _Work:
    """One step: what is known, what turned out to be missing, what went wrong."""

    def __init__(self, poms: Poms) -> None:
        self._poms = poms
        self._missing: set[DocumentName] = set()
        self._imports: dict[DocumentName, list[RawDependency]] = {}
        self._open: list[DocumentName] = []  # BOMs being imported just now, for cycles
        self.problems: list[str] = []

    @property
    def needed(self) -> Needed | None:
        return Needed(tuple(sorted(self._missing))) if self._missing else None

    def lineage(self, start: DocumentName) -> list[Pom]:
        """The POM and its parents, as far as they are known."""
        found: list[Pom] = []
        seen: set[DocumentName] = set()
        at: DocumentName | None = start
        while at is not None:
            if at in seen:
                self.problems.append(f"cycle: {at.filename} is its own parent")
                break
            if len(found) == MAX_PARENTS:
                self.problems.append(f"depth: more than {MAX_PARENTS} parents")
                break
            seen.add(at)
            pom = self._pom(at)
            if pom is None:
                break
            found.append(pom)
            at = self._parent(pom)
        return found

    def imported(self, at: Coordinates) -> list[RawDependency]:
        """The effective dependency management of a BOM."""
        name = document_name(at)
        if name is None:
            self.problems.append(f"unresolved: import of {at}"[:MAX_TEXT])
            return []
        if name in self._imports:
            return self._imports[name]
        if name in self._open or len(self._open) == MAX_IMPORTS_DEEP:
            self.problems.append(f"cycle: {name.filename} is imported by itself or too deeply")
            return []
        self._open.append(name)
        lineage = self.lineage(name)
        found = _Model(lineage, self).management() if lineage else []
        self._open.pop()
        self._imports[name] = found
        return found

    def _pom(self, name: DocumentName) -> Pom | None:
        if name in self._poms:
            if self._poms[name] is None:
                self.problems.append(f"missing: {name.filename}")
            return self._poms[name]
        if len(self._poms) + len(self._missing) < MAX_POMS:
            self._missing.add(name)
        else:
            self.problems.append(f"size: more than {MAX_POMS} POMs")
        return None

    def _parent(self, pom: Pom) -> DocumentName | None:
        if pom.parent is None:
            return None
        name = document_name(pom.parent)
        if name is None:  # a range, or a property: of the parent itself nothing may be used here
            self.problems.append(f"unresolved: parent {pom.parent}"[:MAX_TEXT])
        return name


class _Model:
    """A lineage as one model: the child's own word first, then its parents'."""

    def __init__(self, lineage: list[Pom], work: _Work) -> None:
        self._work = work
        self._layers = list(chain.from_iterable((*reversed(pom.profiles), pom.own) for pom in lineage))
        child = lineage[0]
        properties: dict[str, str] = {}
        for layer in reversed(self._layers):
            properties |= layer.properties
        own = {"groupId": child.group, "artifactId": child.artifact, "version": child.version}
        for prefix in ("project.", "pom.", ""):
            for key, text in own.items():
                properties.setdefault(f"{prefix}{key}", text)
        if child.parent is not None:
            parent = {"groupId": child.parent.group, "version": child.parent.version}
            for key, text in parent.items():
                properties.setdefault(f"project.parent.{key}", text)
        self._properties = properties

    def dependencies(self) -> tuple[Dependency, ...]:
        """All of the lineage, management applied."""
        merged = self._merged(layer.dependencies for layer in self._layers)
        managed = {each.key: each for each in reversed(self.management())}
        found = [self._apply(each, managed.get(each.key)) for each in merged.values()]
        for each in found:
            if not each.version and each.scope != "system":
                self._work.problems.append(f"unresolved: no version of {each.group}:{each.artifact}")
        rows = [dependency(*each) for each in enumerate(found)]
        self._work.problems += [f"unresolved: {row.requirement}"[:MAX_TEXT] for row in rows if row.marker]
        return tuple(rows)

    def management(self) -> list[RawDependency]:
        """Managed dependencies, the first of equal keys counts: own and inherited, then imported."""
        merged = self._merged(layer.managed for layer in self._layers)
        own = [each for each in merged.values() if not _is_import(each)]
        for each in merged.values():
            if _is_import(each):
                own += self._work.imported(Coordinates(each.group, each.artifact, each.version))
        return own

    def text(self, text: str, depth: int = 0) -> str:
        """The text with its references replaced, as far as they are known and not in a circle."""
        if "${" not in text or depth > 8:
            return text
        replaced = _REFERENCE.sub(lambda found: self._properties.get(found[1], found[0]), text)
        if replaced == text or len(replaced) > MAX_TEXT:
            return text
        return self.text(replaced, depth + 1)

    def _merged(self, layers: Iterable[Iterable[RawDependency]]) -> dict[Key, RawDependency]:
        merged: dict[Key, RawDependency] = {}
        for layer in layers:
            for raw in layer:
                each = self._interpolated(raw)
                merged.setdefault(each.key, each)
        return merged

    def _interpolated(self, raw: RawDependency) -> RawDependency:
        text = self.text
        return RawDependency(
            group=text(raw.group),
            artifact=text(raw.artifact),
            version=text(raw.version),
            type=text(raw.type),
            classifier=text(raw.classifier),
            scope=text(raw.scope),
            optional=text(raw.optional),
            exclusions=tuple(map(text, raw.exclusions)),
        )

    @staticmethod
    def _apply(each: RawDependency, managed: RawDependency | None) -> RawDependency:
        if managed is None:
            return each
        return msgspec.structs.replace(
            each,
            version=each.version or managed.version,
            scope=each.scope or managed.scope,
            optional=each.optional or managed.optional,
            exclusions=each.exclusions or managed.exclusions,
        )


def _is_import(raw: RawDependency) -> bool:
    return raw.scope == "import" and raw.type == "pom"
