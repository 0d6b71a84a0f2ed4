"""From the solver's choice to the graph that is kept: nodes, edges, what is missing, cycles."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from shared.errors import ResolutionTooLarge
from shared.protocols.graphs import depths, find_cycles
from shared.protocols.pypi.resolver.model import Candidate, Requirement
from shared.protocols.pypi.resolver.solver import PYTHON, Provider
from shared.protocols.reading.purls import Purl
from shared.protocols.resolution import MAX_NODES, Edge, Node, Resolution, ResolutionRequest, Unresolved


def build_resolution(
    request: ResolutionRequest,
    provider: Provider,
    roots: Sequence[Requirement],
    mapping: Mapping[str, Candidate],
) -> Resolution:
    """The result of a run without needs. Raises `ResolutionTooLarge`."""
    candidates = {each.name: each for each in mapping.values() if each.file is not None and not each.extras}
    if len(candidates) > MAX_NODES:
        raise ResolutionTooLarge(f"the graph has more than {MAX_NODES} nodes")
    purls = {name: purl_of(candidate) for name, candidate in candidates.items()}
    edges: dict[Edge, None] = {}
    unresolved: dict[Unresolved, None] = {}
    extras: dict[str, set[str]] = {}
    targets: dict[str, dict[str, None]] = {"": {}}

    def add(source: Candidate | None, requirement: Requirement) -> None:
        name = "" if source is None else source.name
        target = mapping[requirement.identifier]
        if target.file is None:
            why = Unresolved(
                requirement.name, target.reason, purls.get(name, ""), requirement.text, passing=True
            )
            unresolved[why] = None
            return
        extras.setdefault(requirement.name, set()).update(requirement.extras)
        targets.setdefault(name, {})[requirement.name] = None
        edges[Edge(purls.get(name, ""), purls[requirement.name], requirement.text)] = None

    for requirement in roots:
        add(None, requirement)
    for _, candidate in sorted(mapping.items()):
        if candidate.name == PYTHON or candidate.file is None:
            continue
        for requirement in provider.get_dependencies(candidate):
            is_own = requirement.name == candidate.name
            if requirement.name != PYTHON and (requirement.extras or not is_own):
                add(candidate, requirement)
    for candidate in candidates.values():
        assert candidate.file is not None
        unknown = provider.unknown_metadata.get(candidate.file.filename)
        if unknown is not None:
            reason, passing = unknown
            unresolved[Unresolved(candidate.name, reason, purls[candidate.name], passing=passing)] = None
    for parent, declared in provider.urls:
        if parent is None or mapping.get(parent.identifier) is parent:
            reason = "it is required by an address; only names are resolved"
            by = "" if parent is None else purls[parent.name]
            unresolved[Unresolved(declared.name, reason, by, declared.text)] = None
    distances = depths(targets)
    kept = {name for name, depth in distances.items() if name and depth <= request.max_depth}
    nodes = sorted(
        (_node(candidates[name], purls[name], distances[name], extras.get(name, set())) for name in kept),
        key=lambda node: (node.depth, node.name),
    )
    shown = {purls[name] for name in kept} | {""}
    return Resolution(
        request=request,
        key=request.key,
        complete=not any(one.passing for one in unresolved),
        nodes=tuple(nodes),
        edges=tuple(
            sorted(
                (edge for edge in edges if edge.source in shown and edge.target in shown),
                key=lambda edge: (edge.source, edge.target, edge.requirement),
            )
        ),
        unresolved=tuple(
            sorted(unresolved, key=lambda one: (one.name, one.wanted_by, one.requirement, one.reason))
        ),
        cycles=tuple(tuple(sorted(purls[name] for name in cycle)) for cycle in find_cycles(targets, kept)),
        truncated=len(kept) < len(candidates),
    )


def purl_of(candidate: Candidate) -> str:
    """The package URL of a project's version."""
    return str(Purl("pypi", candidate.name, version=str(candidate.version)))


def _node(candidate: Candidate, purl: str, depth: int, extras: Iterable[str]) -> Node:
    file = candidate.file
    assert file is not None
    return Node(
        purl=purl,
        name=candidate.name,
        version=str(candidate.version),
        filename=file.filename,
        sha256=file.sha256,
        size_bytes=file.size_bytes,
        file_id=file.file_id,
        depth=depth,
        extras=tuple(sorted(extras)),
        yanked=file.yanked,
    )
