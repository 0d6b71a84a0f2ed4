"""From the winners to the graph that is kept: nodes, edges, what is missing, cycles."""

from __future__ import annotations

from collections.abc import Sequence

from shared.errors import ResolutionTooLarge
from shared.models import SealedFile
from shared.protocols.graphs import depths, find_cycles
from shared.protocols.maven.coordinates import Artifact, ConflictKey
from shared.protocols.maven.resolver.collect import Failure, GraphNode
from shared.protocols.maven.resolver.conflict_ids import all_nodes
from shared.protocols.maven.resolver.descriptors import Descriptors
from shared.protocols.maven.resolver.inheritance import Gap
from shared.protocols.maven.resolver.mediation import Mediation
from shared.protocols.resolution import (
    MAX_NODES,
    Document,
    Edge,
    KnownDocuments,
    NeededDocuments,
    Node,
    Resolution,
    ResolutionRequest,
    RootFile,
    Unresolved,
)
from shared.protocols.resource import DocumentName


def passing_gaps(root: GraphNode, failures: Sequence[Failure]) -> list[Unresolved]:
    """What a later try may find, anywhere in the collected graph: until then nothing is certain."""
    found: dict[Unresolved, None] = {}

    def add(artifact: Artifact, reason: str, text: str) -> None:
        found[Unresolved(artifact.project, reason, requirement=text, passing=True)] = None

    for node in all_nodes(root):
        for problem in node.descriptor.problems if node.descriptor else ():
            if problem.passing and node.artifact is not None:
                add(node.artifact, problem.reason, node.text)
    for failure in failures:
        if failure.passing:
            add(failure.dependency.artifact, failure.reason, failure.dependency.text)
    return list(found)


def build_resolution(
    request: ResolutionRequest,
    root: GraphNode,
    mediation: Mediation,
    winners: dict[ConflictKey, GraphNode],
    descriptors: Descriptors,
    known: KnownDocuments,
    *,
    gaps: Sequence[Unresolved],
    root_file: RootFile | None,
) -> Resolution | NeededDocuments:
    """The result, or the documents that tell which files the nodes are. Raises `ResolutionTooLarge`."""
    if len(winners) > MAX_NODES:
        raise ResolutionTooLarge(f"the graph has more than {MAX_NODES} nodes")
    unresolved: dict[Unresolved, None] = dict.fromkeys(gaps)
    files: dict[ConflictKey, Artifact] = {}

    def lacks(node: GraphNode, reason: str, *, passing: bool = False) -> None:
        name = f"{node.key[0]}:{node.key[1]}"
        unresolved[Unresolved(name, reason, requirement=node.text, passing=passing)] = None

    for key, node in winners.items():
        artifact = node.artifact
        assert artifact is not None
        if node.scope == "system":
            lacks(node, "scope system: a file of the machine, in no repository")
            continue
        exact = artifact if root_file is not None and node is root else descriptors.exact(artifact)
        if isinstance(exact, Gap):
            if not exact.pending:
                lacks(node, exact.reason, passing=exact.passing)
            exact = artifact
        files[key] = exact
        for problem in node.descriptor.problems if node.descriptor else ():
            if not problem.passing:
                lacks(node, problem.reason)
    stored = {
        key: Document("stored", artifact.project, artifact.folder, artifact.filename)
        for key, artifact in files.items()
    }
    wanted = [document for document in stored.values() if document not in known.documents]
    if wanted or descriptors.missing:
        return NeededDocuments((*descriptors.missing, *wanted))
    purls = {key: artifact.purl for key, artifact in files.items()}
    edges, targets = _edges(root, mediation, winners, purls)
    away = depths(targets)
    kept = {key for key in files if 0 <= away.get(purls[key], -1) <= request.max_depth}
    nodes = [
        _node(winners[key], files[key], away[purls[key]], known.documents[stored[key]], root_file)
        for key in kept
    ]
    shown = {purls[key] for key in kept}
    return Resolution(
        request=request,
        key=request.key,
        complete=not any(one.passing for one in unresolved),
        nodes=tuple(sorted(nodes, key=lambda node: (node.depth, node.name, node.purl))),
        edges=tuple(
            sorted(
                (edge for edge in edges if edge.target in shown and edge.source in {"", *shown}),
                key=lambda edge: (edge.source, edge.target, edge.requirement),
            )
        ),
        unresolved=tuple(
            sorted(unresolved, key=lambda one: (one.name, one.wanted_by, one.requirement, one.reason))
        ),
        cycles=tuple(tuple(cycle) for cycle in find_cycles(targets, shown)),
        truncated=len(kept) < len(files),
        documents=tuple(sorted(_poms(descriptors))),
    )


def _edges(
    root: GraphNode,
    mediation: Mediation,
    winners: dict[ConflictKey, GraphNode],
    purls: dict[ConflictKey, str],
) -> tuple[set[Edge], dict[str, dict[str, None]]]:
    edges: set[Edge] = set()
    targets: dict[str, dict[str, None]] = {"": {}}

    def add(source: str, target: str, text: str) -> None:
        edges.add(Edge(source, target, text))
        targets.setdefault(source, {})[target] = None

    if root.artifact is not None:
        add("", purls[root.key], str(root.artifact))
    sources = [(purls[key], winners[key]) for key in purls]
    if root.artifact is None:
        sources.insert(0, ("", root))
    stands_for = mediation.targets(winners)
    for source, node in sources:
        for child in mediation.declared(node):
            winner = stands_for(child)
            if winner is not None and winner.key in purls:
                add(source, purls[winner.key], child.text)
    return edges, targets


def _node(
    node: GraphNode, artifact: Artifact, depth: int, stored: object, root_file: RootFile | None
) -> Node:
    sha256, size = (stored.sha256, stored.size_bytes) if isinstance(stored, SealedFile) else ("", None)
    if root_file is not None and artifact.filename == root_file.filename and depth == 0:
        sha256, size = root_file.sha256, root_file.size_bytes
    return Node(
        purl=artifact.purl,
        name=artifact.project,
        version=artifact.version,
        filename=artifact.filename,
        sha256=sha256,
        size_bytes=size,
        file_id=artifact.folder,
        depth=depth,
        scope=node.scope,
        optional=node.optional,
    )


def _poms(descriptors: Descriptors) -> set[DocumentName]:
    files = (descriptors.file_of(name) for name in descriptors.read)
    return {file for file in files if isinstance(file, DocumentName)}
