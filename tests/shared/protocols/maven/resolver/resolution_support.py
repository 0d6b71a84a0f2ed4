"""A made-up repository in memory, and the loop that drives the resolver over it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from shared.models import SealedFile
from shared.protocols.maven.resolver.resolve import MavenResolver
from shared.protocols.resolution import (
    Absent,
    Document,
    KnownDocuments,
    NeededDocuments,
    Resolution,
    RootFile,
)
from tests.support.maven_builders import Dep, build_metadata, build_pom

RESOLVER = MavenResolver()


def dep(line: str, *excluded: str, optional: bool = False) -> Dep:
    """ "g:a:version[:scope[:type[:classifier]]]" as a dependency; "" leaves a field out."""
    group, artifact, version, scope, kind, classifier = (*line.split(":"), "", "", "", "")[:6]
    extra = f"<type>{kind}</type>" if kind else ""
    extra += f"<classifier>{classifier}</classifier>" if classifier else ""
    if excluded:
        pairs = [each.split(":") for each in excluded]
        inner = "".join(
            f"<exclusion><groupId>{group}</groupId><artifactId>{artifact}</artifactId></exclusion>"
            for group, artifact in pairs
        )
        extra += f"<exclusions>{inner}</exclusions>"
    return Dep(group, artifact, version, scope=scope, optional=optional, extra=extra)


class Maven:
    """POMs and listings by coordinates. What is not there is absent."""

    def __init__(self) -> None:
        self.poms: dict[tuple[str, str, str], bytes] = {}
        self.listings: dict[str, bytes] = {}  # by index identity
        self.stored: dict[tuple[str, str], SealedFile] = {}
        self.answers: dict[Document, Any] = {}
        self.asked: list[Document] = []
        self.steps = 0

    def add(
        self,
        coordinates: str,
        *dependencies: str | Dep,
        managed: Sequence[str | Dep] = (),
        parent: str = "",
        extra: str = "",
        packaging: str = "jar",
    ) -> None:
        """One POM; dependencies as `dep` spells them."""
        group, artifact, version = coordinates.split(":")
        if parent:
            above = zip(("groupId", "artifactId", "version"), parent.split(":"), strict=True)
            extra += f"<parent>{''.join(f'<{tag}>{text}</{tag}>' for tag, text in above)}</parent>"
        if managed:
            inner = "".join(_dep(each).xml() for each in managed)
            extra += f"<dependencyManagement><dependencies>{inner}</dependencies></dependencyManagement>"
        body = build_pom(
            group, artifact, version, [_dep(each) for each in dependencies], extra=extra, packaging=packaging
        )
        self.poms[f"{group}:{artifact}", version, f"{artifact}-{version}.pom"] = body

    def leaves(self, *coordinates: str) -> None:
        """POMs without dependencies."""
        for each in coordinates:
            self.add(each)

    def publish(self, project: str, *versions: str) -> None:
        group, artifact = project.split(":")
        identity = f"metadata/{group.replace('.', '/')}/{artifact}"
        self.listings[identity] = build_metadata(group, artifact, versions)

    def answer(self, document: Document) -> Any:
        """What the driver would bring."""
        if document in self.answers:
            return self.answers[document]
        if document.kind == "stored":
            return self.stored.get((document.project, document.filename), Absent("it is not stored"))
        if document.kind == "index":
            group, _, artifact = document.project.partition(":")
            identity = document.identity or f"metadata/{group.replace('.', '/')}/{artifact}"
            body = self.listings.get(identity)
            return Absent("no source knows this project") if body is None else RESOLVER.prepare_index(body)
        body = self.poms.get((document.project, document.file_id, document.filename))
        return Absent("no source has it") if body is None else RESOLVER.prepare_metadata(document, body)

    def resolve(self, *requirements: str, root: RootFile | None = None, **options: Any) -> Resolution:
        """Step until there is a result."""
        request = RESOLVER.request(artifact=root.sha256 if root else "", requirements=requirements, **options)
        known = KnownDocuments()
        for _ in range(500):
            self.steps += 1
            outcome = RESOLVER.resolve(request, root, known)
            if isinstance(outcome, Resolution):
                return outcome
            assert isinstance(outcome, NeededDocuments) and outcome.documents
            for document in outcome.documents:
                assert document not in known.documents, "asked twice"
                self.asked.append(document)
                known.documents[document] = self.answer(document)
        raise AssertionError("no result")

    def lines(self, *requirements: str, **options: Any) -> list[str]:
        """Of each node "artifact:version:scope", without the roots, sorted."""
        return lines(self.resolve(*requirements, **options))


def lines(resolution: Resolution) -> list[str]:
    """Of each node below the roots "artifact[:type-and-classifier]:version:scope", sorted."""
    return sorted(line(node) for node in resolution.nodes if node.depth > 0)


def line(node: Any) -> str:
    """ "artifact:version:scope"; a file that is no plain jar has its ending in place of the version."""
    artifact = node.name.partition(":")[2]
    plain = node.filename == f"{artifact}-{node.version}.jar"
    return f"{artifact}:{node.version if plain else node.filename.removeprefix(artifact + '-')}:{node.scope}"


def _dep(each: str | Dep) -> Dep:
    return dep(each) if isinstance(each, str) else each
