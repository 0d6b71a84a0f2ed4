"""`MavenResolver`: requests checked, documents prepared, one step of a resolution.

The rules are those of Maven 3.8 (docs/decisions/0013-maven-as-maven-resolves.md). A node's file and the
POMs that Maven reads beside it (`Resolution.documents`) are fetched by `FetchArtifact(protocol="maven",
project=…, file_id=…, filename=…)`: `project` is `Node.name`, the rest stands in node and document.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping

import msgspec

from shared.errors import InvalidParameter, NotResolvable, ResolutionTooLarge
from shared.models import Extraction, SealedFile
from shared.protocols.maven.coordinates import PLUGIN, Artifact, ConflictKey, read_filename, read_requirement
from shared.protocols.maven.listing import Listing, read_listing
from shared.protocols.maven.metadata import extract
from shared.protocols.maven.model import Pom, decode_pom
from shared.protocols.maven.paths import split_file_id
from shared.protocols.maven.project import Project, canonical_project, is_project, read_project
from shared.protocols.maven.resolver.activation import DEFAULT_ENVIRONMENT, environment
from shared.protocols.maven.resolver.collect import Collector, Failure, GraphNode, Managed, management_of
from shared.protocols.maven.resolver.conflicts import of_failures, of_rivals
from shared.protocols.maven.resolver.descriptors import Dependency, Descriptors, dependency_of
from shared.protocols.maven.resolver.graph import build_resolution, passing_gaps
from shared.protocols.maven.resolver.mediation import Mediation
from shared.protocols.maven.resolver.ranges import is_range
from shared.protocols.maven.resolver.selection import Unsolvable
from shared.protocols.resolution import (
    MAX_DOCUMENTS,
    Absent,
    Document,
    KnownDocuments,
    NeededDocuments,
    Resolution,
    ResolutionRequest,
    Resolver,
    RootFile,
    Unresolved,
    missing_root,
)

PLEXUS_UTILS = Artifact("org.codehaus.plexus", "plexus-utils", "1.1")
"""What Maven 3 adds to a plugin that has no plexus-utils (PlexusUtilsInjector); its POM is not read."""

_MODULE = "a module of the project: what it needs stands in a pom.xml of its own, which is ensured apart"


class MavenResolver(Resolver):
    """Maven's rules."""

    protocol = "maven"

    def environment_named(self, name: str) -> str:
        return environment(name or DEFAULT_ENVIRONMENT).name

    def canonical(self, requirements: tuple[str, ...]) -> Iterable[str]:
        if any(map(is_project, requirements)):
            if len(requirements) > 1:
                raise InvalidParameter(
                    "requirements: a POM is resolved by itself: it names all that it needs"
                )
            return [canonical_project(requirements[0])]
        found: dict[ConflictKey, Artifact] = {}
        for text in requirements:
            artifact = read_requirement(text)
            before = found.setdefault(artifact.key, artifact)
            if before.version != artifact.version:
                raise InvalidParameter(
                    f"requirements: {before} and {artifact} are two versions of one artifact"
                )
        return map(str, found.values())

    def moment(self, as_of: str) -> str:
        raise InvalidParameter("as_of: Maven repositories do not tell when a file was uploaded")

    def prepare_index(self, body: bytes) -> Listing:
        return read_listing(body)

    def with_sealed(self, index: Listing, sealed: Mapping[tuple[str, str], SealedFile]) -> Listing:
        return index

    def prepare_metadata(self, document: Document, raw: bytes | Extraction) -> Pom | Absent:
        extraction = raw if isinstance(raw, Extraction) else extract(io.BytesIO(raw), len(raw))
        pom = decode_pom(extraction.model) if extraction.model else None
        return Absent(extraction.reason or "its POM cannot be read") if pom is None else pom

    def resolve(
        self,
        request: ResolutionRequest,
        root: RootFile | None,
        known: KnownDocuments,
        *,
        give_up: Callable[[], bool] = lambda: False,
    ) -> Resolution | NeededDocuments:
        if len(known.documents) > MAX_DOCUMENTS:
            raise ResolutionTooLarge(f"more than {MAX_DOCUMENTS} documents would be needed")
        descriptors = Descriptors.in_memo(known, environment(request.environment))
        if root is None and is_project(request.requirements[0]):
            project = read_project(request.requirements[0])
            return self._of_pom(request, project, descriptors, known, give_up)
        wanted = [read_requirement(text) for text in request.requirements]
        if root is not None:
            top = _artifact_of(root)
            levels = frozenset({1} if request.include_optional else ())
        elif len(wanted) == 1 and wanted[0].type == PLUGIN and not is_range(wanted[0].version):
            # Maven resolves a plugin by itself: its own management holds, its optional ones come along.
            version = descriptors.version(wanted[0])
            top, levels = msgspec.structs.replace(wanted[0], version=version), frozenset({1})
        else:
            return self._of_project(request, wanted, descriptors, known, give_up)
        node = GraphNode(top, "compile")
        node.text, node.descriptor = str(top), descriptors.of(top)
        if node.descriptor.absent and root is None:
            _not_found([node], known)
        return _run(
            request,
            node,
            node.descriptor.dependencies,
            descriptors,
            known,
            management=management_of(descriptors.management(top)),
            optional_levels=levels,
            root_file=root,
            give_up=give_up,
        )

    @staticmethod
    def _of_pom(
        request: ResolutionRequest,
        project: Project,
        descriptors: Descriptors,
        known: KnownDocuments,
        give_up: Callable[[], bool],
    ) -> Resolution | NeededDocuments:
        """As the project of a POM resolves, all its scopes together."""
        effective = descriptors.of_project(project.pom)
        if effective.pending:
            return NeededDocuments(tuple(descriptors.missing))
        if effective.invalid or (effective.problems and not effective.passing):
            # Maven ends here, too.
            raise NotResolvable(
                f"pom.xml: {effective.invalid or effective.problems[0]}",
                hint="What lies in the project's own folders is not known here: post what "
                "`mvn help:effective-pom` prints, or resolve what is missing first.",
            )
        made = _run(
            request,
            GraphNode(None),
            tuple(map(dependency_of, effective.dependencies)),
            descriptors,
            known,
            management=management_of(effective.managed or ()),
            optional_levels=frozenset({1, 2} if request.include_optional else {1}),
            root_file=None,
            give_up=give_up,
        )
        if isinstance(made, NeededDocuments):
            return made
        gaps = [Unresolved("pom.xml", reason, passing=True) for reason in effective.problems]
        local = [Unresolved(each, _MODULE) for each in project.modules]
        return msgspec.structs.replace(
            made, complete=made.complete and not gaps, unresolved=(*made.unresolved, *gaps, *local)
        )

    @staticmethod
    def _of_project(
        request: ResolutionRequest,
        wanted: list[Artifact],
        descriptors: Descriptors,
        known: KnownDocuments,
        give_up: Callable[[], bool],
    ) -> Resolution | NeededDocuments:
        """As a project resolves that has these dependencies, in this order, and no management."""
        dependencies = tuple(Dependency(artifact, "compile", False, (), str(artifact)) for artifact in wanted)
        return _run(
            request,
            GraphNode(None),
            dependencies,
            descriptors,
            known,
            management={},
            optional_levels=frozenset({1, 2} if request.include_optional else {1}),
            root_file=None,
            give_up=give_up,
        )


def _run(
    request: ResolutionRequest,
    root: GraphNode,
    dependencies: tuple[Dependency, ...],
    descriptors: Descriptors,
    known: KnownDocuments,
    *,
    management: dict[ConflictKey, Managed],
    optional_levels: frozenset[int],
    root_file: RootFile | None,
    give_up: Callable[[], bool],
) -> Resolution | NeededDocuments:
    collector = Collector(
        descriptors,
        management=management,
        optional_levels=optional_levels,
        transitive=root.artifact is not None,
        give_up=give_up,
    )
    collector.collect(root, dependencies)
    hopeless = [failure for failure in collector.failures if not failure.passing]
    if root.artifact is None:
        _not_found(root.children, known)
        _no_versions(hopeless, known)
    if descriptors.missing:
        return NeededDocuments(tuple(descriptors.missing))
    if hopeless:
        raise of_failures(hopeless)
    gaps = passing_gaps(root, collector.failures)
    mediation = Mediation(root, give_up)
    try:
        winners = mediation.run()
    except Unsolvable as error:
        raise of_rivals(error, root) from None
    if root.artifact is not None and root.artifact.type == PLUGIN and PLEXUS_UTILS.key not in winners:
        mediation.add(GraphNode(PLEXUS_UTILS, "runtime"), winners)
    return build_resolution(
        request, root, mediation, winners, descriptors, known, gaps=gaps, root_file=root_file
    )


def _not_found(nodes: list[GraphNode], known: KnownDocuments) -> None:
    for node in nodes:
        found = node.descriptor
        if found is not None and found.absent and not any(problem.passing for problem in found.problems):
            reason = found.problems[0].reason if found.problems else "no source has it"
            gone = [each for each in known.documents.values() if isinstance(each, Absent)]
            # The descriptor keeps the words alone, with the POM's name in front.
            blocked = (each for each in gone if each.blocked and reason.endswith(each.reason))
            raise missing_root(f"maven: {node.artifact}", next(blocked, Absent(reason)))


def _no_versions(failures: list[Failure], known: KnownDocuments) -> None:
    for failure in failures:
        listing = known.documents.get(Document("index", failure.dependency.artifact.project))
        if not failure.path and isinstance(listing, Absent):
            raise missing_root(f"maven: {failure.dependency.artifact.project}", listing)


def _artifact_of(root: RootFile) -> Artifact:
    found = read_filename(root.project, split_file_id(root.file_id)[0], root.filename)
    if found is None:
        raise NotResolvable(f"{root.filename} is no artifact of a Maven version")
    return found
