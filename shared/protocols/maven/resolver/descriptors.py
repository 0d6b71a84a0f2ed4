"""Descriptors of artifacts: effective dependencies and available versions, from the known documents.

Documents that are not at hand are noted in `missing`; until they are there an artifact has no
dependencies, so that one run names a whole level of the graph.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from shared.protocols.maven import names
from shared.protocols.maven.coordinates import Artifact, is_path, make_artifact
from shared.protocols.maven.listing import Listing
from shared.protocols.maven.metadata import requirement
from shared.protocols.maven.model import Coordinates, Pom, RawDependency
from shared.protocols.maven.paths import metadata_identity
from shared.protocols.maven.resolver.activation import Environment
from shared.protocols.maven.resolver.effective import Effective, Models
from shared.protocols.maven.resolver.inheritance import Gap, document_name
from shared.protocols.maven.resolver.ranges import fits, generic_key
from shared.protocols.resolution import Absent, Document, KnownDocuments, Unavailable
from shared.protocols.resource import DocumentName

MAX_RELOCATIONS = 16
MOVING = ("LATEST", "RELEASE")
_POSTED = DocumentName("", "", "pom.xml")
"""The name of the POM of a project, which lies in no repository."""


class Dependency(msgspec.Struct, frozen=True):
    """A dependency as it is followed: declared, then managed."""

    artifact: Artifact
    scope: str
    optional: bool
    exclusions: tuple[str, ...]
    text: str  # as declared, for people


class Problem(msgspec.Struct, frozen=True):
    """What is missing of an artifact, and why."""

    reason: str
    passing: bool = False


class Descriptor(msgspec.Struct, frozen=True):
    """An artifact with the dependencies that it declares. `relocated`: those it replaces, in order."""

    artifact: Artifact
    dependencies: tuple[Dependency, ...] = ()
    relocated: tuple[Artifact, ...] = ()
    problems: tuple[Problem, ...] = ()
    absent: bool = False  # there is no POM of it
    pending: bool = False


class _Pom(msgspec.Struct, frozen=True):
    """What the POM of some coordinates leads to."""

    at: Coordinates
    trail: tuple[Coordinates, ...]
    dependencies: tuple[Dependency, ...]
    problems: tuple[Problem, ...]
    absent: bool
    pending: bool
    read: frozenset[DocumentName]


def dependency_of(raw: RawDependency) -> Dependency:
    """A dependency of an effective POM."""
    artifact = make_artifact(raw.group, raw.artifact, raw.version, raw.type, raw.classifier)
    return Dependency(
        artifact, raw.scope or "compile", raw.optional == "true", raw.exclusions, requirement(raw)
    )


class Descriptors:
    """The descriptors of one resolution; cached as long as its documents."""

    def __init__(self, documents: Mapping[Document, object], environment: Environment) -> None:
        self._documents = documents
        self._models = Models(self._find, self._parents, environment)
        self._poms: dict[Coordinates, _Pom] = {}
        self._project: Pom | None = None
        self.missing: dict[Document, None] = {}
        self.read: set[DocumentName] = set()  # POMs that this run has used

    @classmethod
    def in_memo(cls, known: KnownDocuments, environment: Environment) -> Descriptors:
        """Those of a resolution, for a new run."""
        found = known.memo.get(environment.name)
        if not isinstance(found, cls):
            found = known.memo[environment.name] = cls(known.documents, environment)
        found.missing.clear()
        found.read.clear()
        return found

    def of(self, artifact: Artifact, *, system: bool = False) -> Descriptor:
        """What is known of an artifact of this very version."""
        if system:
            return Descriptor(artifact)
        if artifact.version in MOVING:
            gap = self._listed(artifact)
            if isinstance(gap, Gap) and gap.pending:
                return Descriptor(artifact, pending=True)
            reason = gap.reason if isinstance(gap, Gap) else "the metadata names no such version"
            passing = isinstance(gap, Gap) and gap.passing
            return Descriptor(artifact, problems=(Problem(reason, passing),), absent=True)
        if not is_path(artifact):
            return Descriptor(artifact, problems=(Problem(_unusable(artifact)),), absent=True)
        found = self._pom(Coordinates(artifact.group, artifact.artifact, artifact.version))
        self.read |= found.read
        relocated: tuple[Artifact, ...] = ()
        if found.trail:
            relocated = tuple(_moved(artifact, at) for at in found.trail)
            artifact = _moved(artifact, found.at)
        return Descriptor(
            artifact, found.dependencies, relocated, found.problems, found.absent, found.pending
        )

    def of_project(self, pom: Pom) -> Effective:
        """The effective model, with its management, of the POM of the project that is resolved."""
        self._project = pom
        found = self._models.effective(_POSTED, management=True)
        self.read |= found.read - {_POSTED}
        return found

    def management(self, artifact: Artifact) -> tuple[RawDependency, ...]:
        """The dependency management of an artifact's effective POM."""
        found = self._pom(Coordinates(artifact.group, artifact.artifact, artifact.version))
        name = document_name(found.at)
        if found.pending or found.absent or name is None:
            return ()
        return self._models.effective(name, management=True).managed or ()

    def version(self, artifact: Artifact) -> str:
        """The version that a soft requirement means (LATEST and RELEASE are looked up)."""
        if artifact.version not in MOVING:
            return artifact.version
        listing = self._listed(artifact)
        if isinstance(listing, Gap):
            return artifact.version
        found = listing.release if artifact.version == "RELEASE" else listing.latest or listing.release
        return found or artifact.version

    def versions_in(self, artifact: Artifact) -> list[str] | Gap:
        """The listed versions within the artifact's range, ascending. Raises `BadRange`."""
        listing = self._listed(artifact)
        if isinstance(listing, Gap):
            return listing
        found = [version for version in listing.versions if fits(artifact.version, version)]
        return sorted(found, key=generic_key)

    def _parents(self, at: Coordinates) -> list[str] | Gap:
        return self.versions_in(Artifact(at.group, at.artifact, at.version, "pom", "pom"))

    def exact(self, artifact: Artifact) -> Artifact | Gap:
        """The artifact whose file is to be had: of a snapshot its newest build."""
        if not artifact.version.endswith(names.SNAPSHOT):
            return artifact
        if not is_path(artifact):
            return Gap(_unusable(artifact))
        listing = self._index(_snapshot_document(artifact.project, artifact.version))
        if isinstance(listing, Gap):
            return listing
        build = listing.build_of(artifact.version, artifact.extension, artifact.classifier)
        if not build:
            return Gap("the snapshot has no timestamped build")
        return msgspec.structs.replace(artifact, version=build)

    def file_of(self, name: DocumentName) -> DocumentName | Gap:
        """Where the POM of these coordinates lies, as files are fetched."""
        group, _, artifact = name.project.partition(":")
        found = self.exact(Artifact(group, artifact, name.file_id, "pom", "pom"))
        return found if isinstance(found, Gap) else DocumentName(name.project, found.folder, found.filename)

    def _pom(self, start: Coordinates) -> _Pom:
        known = self._poms.get(start)
        if known is not None:
            return known
        at = start
        trail: list[Coordinates] = []
        problems: list[Problem] = []
        read: set[DocumentName] = set()
        while True:
            name = document_name(at)
            effective = Effective(gap=Gap(_unusable(at))) if name is None else self._models.effective(name)
            read |= effective.read
            target = None if effective.invalid else effective.relocation
            if effective.pending or target is None:
                break
            if target in (*trail, at) or len(trail) == MAX_RELOCATIONS:
                problems.append(Problem("it is relocated to itself"))
                at, trail = start, []
                break
            trail.append(at)
            at = target
        gap = effective.gap
        if gap is not None and not gap.pending:
            problems.append(Problem(gap.reason, gap.passing))
        problems += (Problem(reason, effective.passing) for reason in effective.problems)
        if effective.invalid:
            problems.append(Problem(f"{effective.invalid}: Maven then reads none of its dependencies"))
        usable = not (effective.pending or effective.invalid or effective.relocation)
        made = _Pom(
            at=at,
            trail=tuple(trail),
            dependencies=tuple(map(dependency_of, effective.dependencies)) if usable else (),
            problems=tuple(problems),
            absent=gap is not None and not gap.pending,
            pending=effective.pending,
            read=frozenset(read),
        )
        if not made.pending:
            self._poms[start] = made
        return made

    # --- documents --------------------------------------------------------------------------------

    def _find(self, name: DocumentName) -> Pom | Gap:
        if name == _POSTED and self._project is not None:
            return self._project
        file = self.file_of(name)
        if isinstance(file, Gap):
            return file
        document = Document("metadata", file.project, file.file_id, file.filename)
        found = self._documents.get(document)
        return found if isinstance(found, Pom) else self._gap(document, found, file.filename)

    def _listed(self, artifact: Artifact) -> Listing | Gap:
        if not is_path(msgspec.structs.replace(artifact, version="1")):  # ".." is an id in Maven's model
            return Gap(_unusable(artifact))
        return self._index(Document("index", artifact.project))

    def _index(self, document: Document) -> Listing | Gap:
        found = self._documents.get(document)
        return found if isinstance(found, Listing) else self._gap(document, found, names.METADATA)

    def _gap(self, document: Document, found: object, filename: str) -> Gap:
        if isinstance(found, Absent):
            return Gap(f"{filename}: {found.reason}")
        if isinstance(found, Unavailable):
            return Gap(f"{filename}: {found.reason}", passing=True)
        self.missing[document] = None
        return Gap("", pending=True)


def _snapshot_document(project: str, version: str) -> Document:
    return Document("index", project, identity=f"{metadata_identity(project)}/{version}")


def _moved(artifact: Artifact, at: Coordinates) -> Artifact:
    return msgspec.structs.replace(artifact, group=at.group, artifact=at.artifact, version=at.version)


def _unusable(at: Artifact | Coordinates) -> str:
    if "${" in str(at):
        return f"unresolved: {at} holds a property that nothing defines"[:1024]
    return f"{at} is no artifact that a repository can hold"[:1024]
