"""Effective models: what parents, profiles, properties and imported BOMs make of a POM.

Maven's model building (maven-model-builder 3.8, "Model Builder"): profiles into their POM, inheritance,
interpolation, imports, dependency management. Lineages and BOMs are worked out once for all POMs that
share them. Bounded in parents, imports and text; cycles end where they close. What cannot be settled
is kept as it is written and named in `problems`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

import msgspec

from shared.protocols.maven.model import Coordinates, Key, Pom, RawDependency
from shared.protocols.maven.resolver.activation import Environment, properties_of
from shared.protocols.maven.resolver.inheritance import Gap, Notes, Raw, below, document_name
from shared.protocols.maven.resolver.ranges import BadRange, exact, is_range, parse_ranges
from shared.protocols.resource import DocumentName

MAX_PARENTS = 64
MAX_IMPORTS_DEEP = 16
MAX_TEXT = 1024
MAX_DEEP = 16  # references within references
_REFERENCE = re.compile(r"\$\{([^${}]{1,200})\}")
_ID = re.compile(r"[A-Za-z0-9_.-]+")
# Properties whose values differ from machine to machine, but are always absolute paths.
_MACHINE_PATHS = ("/", "${java.home}", "${user.home}", "${user.dir}")


# A version that stands for the parent's: Maven wants a constant below a parent that is named by a range.
_PARENTS_VERSION = {f"${{{of}version}}" for of in ("pom.", "project.", "pom.parent.", "project.parent.")}


Find = Callable[[DocumentName], "Pom | Gap"]
Versions = Callable[[Coordinates], "list[str] | Gap"]
"""The listed versions in the range that coordinates have as a version, ascending. Raises `BadRange`."""


class Effective(msgspec.Struct, frozen=True):
    """An effective model. Dependencies are interpolated, managed and have a scope."""

    dependencies: tuple[RawDependency, ...] = ()
    managed: tuple[RawDependency, ...] | None = None  # filled in for those who ask for it
    relocation: Coordinates | None = None
    problems: tuple[str, ...] = ()
    invalid: str = ""  # why Maven reads no dependencies out of this POM
    passing: bool = False  # one of the problems may pass
    pending: bool = False  # documents are still to be brought: all else is a guess
    read: frozenset[DocumentName] = frozenset()  # the POMs that it was made of
    gap: Gap | None = None  # there is no such POM


class Models:
    """Effective models of one environment; None: only profiles that are active by default.

    What was made of documents that are all there is remembered.
    """

    def __init__(self, find: Find, versions: Versions, environment: Environment | None = None) -> None:
        self._find = find
        self._versions = versions
        self._environment = environment
        self._raw: dict[DocumentName, Raw] = {}
        self._imports: dict[DocumentName, tuple[tuple[RawDependency, ...], Notes]] = {}
        self._effective: dict[tuple[DocumentName, bool], Effective] = {}
        self._open: list[DocumentName] = []  # BOMs being imported just now, for cycles

    def effective(self, name: DocumentName, *, management: bool = False) -> Effective:
        """The effective model of a POM, with its dependency management if asked."""
        known = self._effective.get((name, management))
        if known is not None:
            return known
        found = self._find(name)
        if isinstance(found, Gap):
            return Effective(gap=found, pending=found.pending, passing=found.passing)
        raw = self._lineage(name, found)
        model = _Model(raw, self)
        relocation = raw.pom.relocation
        if relocation is not None:
            relocation = Coordinates(*map(model.text, msgspec.structs.astuple(relocation)))
        dependencies = model.dependencies()
        managed = tuple(model.management()) if management else None
        made = Effective(
            dependencies=dependencies,
            managed=managed,
            relocation=relocation,
            problems=tuple(dict.fromkeys(model.notes.problems)),
            invalid=model.invalid or model.notes.invalid,
            passing=model.notes.passing,
            pending=model.notes.pending,
            read=frozenset(model.notes.read),
        )
        if not made.pending:
            self._effective[name, management] = made
        return made

    def _lineage(self, start: DocumentName, pom: Pom) -> Raw:
        """The POM and its parents, as far as they are known, as one model."""
        line: list[tuple[DocumentName, Pom]] = []
        above: Raw | None = None
        seen: set[DocumentName] = set()
        notes = Notes([], set())
        at: DocumentName | None = start
        while at is not None:
            if at in seen:
                notes.void(f"cycle: {at.filename} is its own parent")
                break
            if len(line) == MAX_PARENTS:
                notes.problems.append(f"depth: more than {MAX_PARENTS} parents")
                break
            if at in self._raw and not seen & self._raw[at].notes.read:
                above = self._raw[at]
                break
            found = pom if at == start else self.found(at, notes)
            if found is None:
                break
            seen.add(at)
            found, above_it = self._parent(found, notes)
            line.append((at, found))
            at = above_it
        for name, each in reversed(line):
            above = below(name, each, above, notes, self._environment)
            if not above.notes.pending and not above.notes.problems:
                self._raw[name] = above
        assert above is not None
        return above

    def found(self, name: DocumentName, notes: Notes) -> Pom | None:
        """A parent's or BOM's POM; None after noting why it is not there."""
        found = self._find(name)
        if isinstance(found, Pom):
            return found
        notes.gap(found)
        return None

    def _parent(self, pom: Pom, notes: Notes) -> tuple[Pom, DocumentName | None]:
        """The POM with a parent of one version, and where that lies; None after noting why it cannot."""
        parent = pom.parent
        if parent is None:
            return pom, None
        if is_range(parent.version):
            version = self._newest(pom, parent, notes)
            if not version:
                return pom, None
            parent = msgspec.structs.replace(parent, version=version)
            pom = msgspec.structs.replace(pom, parent=parent)
        name = document_name(parent)
        if name is None:  # a property: of the parent itself nothing may be used here
            notes.problems.append(f"unresolved: parent {parent}"[:MAX_TEXT])
        return pom, name

    def _newest(self, pom: Pom, parent: Coordinates, notes: Notes) -> str:
        """The newest listed version in a parent's range (DefaultModelResolver.resolveModel); "" after noting
        why there is none."""
        if pom.version == parent.version or pom.version in _PARENTS_VERSION:
            notes.void(f"unresolved: a version below the parent {parent} must be a constant"[:MAX_TEXT])
            return ""
        try:
            if not all(each.upper for each in parse_ranges(parent.version)):
                notes.problems.append(f"unresolved: the range of the parent {parent} has no end"[:MAX_TEXT])
                return ""
            only = exact(parent.version)
            found = [only] if only else self._versions(parent)
        except BadRange as error:
            notes.problems.append(f"unresolved: parent {parent}: {error}"[:MAX_TEXT])
            return ""
        if isinstance(found, Gap):
            notes.gap(found)
            return ""
        if not found:
            notes.problems.append(
                f"unresolved: no source has a version in the range of the parent {parent}"[:MAX_TEXT]
            )
            return ""
        return found[-1]

    def imported(self, at: Coordinates, notes: Notes) -> tuple[RawDependency, ...]:
        """The effective dependency management of a BOM.

        A range is no version here, unlike a parent's: Maven 3 asks for a POM of that very name
        (DefaultModelBuilder.loadDependencyManagement), which no repository has.
        """
        if is_range(at.version):
            notes.void(f"unresolved: import of {at}: Maven 3 takes no range there"[:MAX_TEXT])
            return ()
        name = document_name(at)
        if name is None:
            notes.problems.append(f"unresolved: import of {at}"[:MAX_TEXT])
            return ()
        if name in self._imports:
            managed, met = self._imports[name]
            notes.add(met)
            return managed
        if name in self._open or len(self._open) == MAX_IMPORTS_DEEP:
            notes.void(f"cycle: {name.filename} is imported by itself or too deeply")
            return ()
        pom = self.found(name, notes)
        if pom is None:
            return ()
        self._open.append(name)
        model = _Model(self._lineage(name, pom), self)
        managed = tuple(model.management())
        self._open.pop()
        if not model.notes.pending and not model.notes.problems:
            self._imports[name] = managed, model.notes
        notes.add(model.notes)
        return managed

    @property
    def system_properties(self) -> Mapping[str, str]:
        return properties_of(self._environment)


class _Model:
    """A lineage with its references replaced."""

    def __init__(self, raw: Raw, models: Models) -> None:
        self._raw = raw
        self._models = models
        self.notes = Notes([], set())
        self.notes.add(raw.notes)
        self.invalid = ""
        pom = raw.pom
        own = {"groupId": pom.group, "artifactId": pom.artifact, "version": pom.version}
        # The order in which Maven looks: the model's own fields, properties, the system, bare fields.
        known = {**own, **models.system_properties, **raw.properties}
        for prefix in ("project.", "pom."):
            known |= {f"{prefix}{key}": text for key, text in own.items()}
        if pom.parent is not None:
            parent = msgspec.structs.asdict(pom.parent)
            for key, field in (("groupId", "group"), ("artifactId", "artifact"), ("version", "version")):
                known[f"project.parent.{key}"] = parent[field]
                known.setdefault(f"parent.{key}", parent[field])
        self._known = known
        self._managed: list[RawDependency] | None = None

    def dependencies(self) -> tuple[RawDependency, ...]:
        """All of the lineage, management applied."""
        managed: dict[Key, list[RawDependency]] = {}
        for each in self._all_managed():
            managed.setdefault(self._key(each), []).append(each)
            if "${" in each.group + each.artifact:
                self._check(each, used=False)
        raw = [self._interpolated(each) for each in self._raw.dependencies]
        found = [self._apply(each, managed.get(each.key, ())) for each in raw]
        for each in found:
            self._check(each, used=True)
        return tuple(found)

    def management(self) -> list[RawDependency]:
        """Managed dependencies: own and inherited, then imported."""
        return [self._interpolated(each) for each in self._all_managed()]

    def text(self, text: str, depth: int = 0) -> str:
        """The text with its references replaced, as far as they are known and not in a circle."""
        if "${" not in text or depth > MAX_DEEP:
            return text
        replaced = _REFERENCE.sub(lambda found: self._known.get(found[1], found[0]), text)
        if replaced == text or len(replaced) > MAX_TEXT:
            return text
        return self.text(replaced, depth + 1)

    def _all_managed(self) -> list[RawDependency]:
        """Own ones as they are written, imported ones as their BOM has made them."""
        if self._managed is None:
            own = [each for each in self._raw.managed if not _is_import(each)]
            imports = [each for each in self._raw.managed if _is_import(each)]
            if imports:
                by_key = {self._key(each): each for each in own}
                for each in imports:
                    at = Coordinates(*(self.text(text) for text in (each.group, each.artifact, each.version)))
                    for one in self._models.imported(at, self.notes):
                        by_key.setdefault(one.key, one)
                own = list(by_key.values())
            self._managed = own
        return self._managed

    def _key(self, raw: RawDependency) -> Key:
        if any("${" in text for text in raw.key):
            group, artifact, kind, classifier = map(self.text, raw.key)
            return group, artifact, kind, classifier
        return raw.key

    def _interpolated(self, raw: RawDependency) -> RawDependency:
        text = self.text
        fields = (*raw.key, raw.version, raw.scope, raw.optional, raw.path, *raw.exclusions)
        if not any("${" in field for field in fields):
            return raw
        return RawDependency(
            group=text(raw.group),
            artifact=text(raw.artifact),
            version=text(raw.version),
            type=text(raw.type),
            classifier=text(raw.classifier),
            scope=text(raw.scope),
            optional=text(raw.optional),
            exclusions=tuple(map(text, raw.exclusions)),
            path=text(raw.path),
        )

    def _apply(self, each: RawDependency, managed: Iterable[RawDependency]) -> RawDependency:
        """`optional` is not managed within a POM (DefaultDependencyManagementInjector)."""
        version, scope, path, exclusions = each.version, each.scope, each.path, each.exclusions
        for one in map(self._interpolated, managed):
            version, scope, path = version or one.version, scope or one.scope, path or one.path
            exclusions = exclusions or one.exclusions
        return msgspec.structs.replace(
            each, version=version, scope=scope or "compile", path=path, exclusions=exclusions
        )

    def _check(self, each: RawDependency, *, used: bool) -> None:
        """What DefaultModelValidator calls an error in a POM of a repository: Maven then goes on without
        any of its dependencies."""
        group, artifact = self.text(each.group), self.text(each.artifact)
        why = ""
        if not (_ID.fullmatch(group) and _ID.fullmatch(artifact)):
            why = "an id of"
        elif used and not each.version:
            why = "no version of"
        elif used and each.scope == "system" and not each.path.startswith(_MACHINE_PATHS):
            why = "no absolute system path of"
        if why:
            self.invalid = self.invalid or f"unresolved: {why} {group}:{artifact}"[:MAX_TEXT]


def _is_import(raw: RawDependency) -> bool:
    return raw.scope == "import" and raw.type == "pom"
