"""From the search's choice to the graph that is kept: nodes, edges, what is missing, cycles."""

from __future__ import annotations

from shared.errors import ResolutionConflict
from shared.protocols.cargo import names
from shared.protocols.cargo.resolver.registry import Crate, Registry
from shared.protocols.cargo.resolver.state import State
from shared.protocols.cargo.resolver.summaries import Summary
from shared.protocols.graphs import depths, find_cycles
from shared.protocols.reading.purls import Purl
from shared.protocols.resolution import Edge, Node, Resolution, ResolutionRequest, Unresolved


def build_resolution(request: ResolutionRequest, state: State, registry: Registry) -> Resolution:
    """The result of a search that lacked nothing. Raises `ResolutionConflict` for a cycle, as Cargo does."""
    chosen = [summary for summary, _ in state.chosen.values()]
    purls = {summary: purl_of(summary) for summary in chosen}
    by_purl = {purl: summary for summary, purl in purls.items() if purl}
    edges: dict[Edge, None] = {}
    targets: dict[str, dict[str, None]] = {}
    for summary, above in state.parents.items():
        for parent, dependencies in above.items():
            targets.setdefault(purls[parent], {})[purls[summary]] = None
            for each in dependencies:
                kind = "" if each.kind == "normal" else each.kind
                edges[Edge(purls[parent], purls[summary], each.requirement.text, kind)] = None
    cycles = find_cycles(targets, set(by_purl))
    if cycles:
        shown = ", ".join(by_purl[purl].label for purl in cycles[0][:10])
        raise ResolutionConflict(f"packages depend on themselves in a cycle: {shown}")
    distances = depths(targets)
    kept = {purl for purl, depth in distances.items() if purl and depth <= request.max_depth}
    shown_purls = {*kept, ""}
    unresolved = {
        lacking
        for summary in chosen
        if purls[summary] in shown_purls
        for lacking in _left_out(summary, purls[summary], state, registry)
    }
    return Resolution(
        request=request,
        key=request.key,
        complete=not any(each.passing for each in unresolved),
        nodes=tuple(
            sorted(
                (_node(purl, by_purl[purl], distances[purl], state, registry) for purl in kept),
                key=lambda node: (node.depth, node.name, node.purl),
            )
        ),
        edges=tuple(
            sorted(
                (edge for edge in edges if edge.source in shown_purls and edge.target in shown_purls),
                key=lambda edge: (edge.source, edge.target, edge.requirement, edge.kind),
            )
        ),
        unresolved=tuple(
            sorted(unresolved, key=lambda each: (each.name, each.wanted_by, each.requirement, each.reason))
        ),
        truncated=len(kept) < len(by_purl),
    )


def purl_of(summary: Summary) -> str:
    """The package URL of a version; "" of the request itself."""
    if not summary.name:
        return ""
    return str(Purl("cargo", summary.name, version=summary.version.text))


def _left_out(summary: Summary, purl: str, state: State, registry: Registry) -> list[Unresolved]:
    """The dependencies that were not followed, of those that its features turn on."""
    found = []
    for dependency, _ in registry.activation(
        summary, state.features.get(summary, frozenset()), False
    ).dependencies:
        if registry.candidates(dependency) is None:
            why = registry.why_left_out(dependency, purl)
            if why is not None:
                found.append(why)
    return found


def _node(purl: str, summary: Summary, depth: int, state: State, registry: Registry) -> Node:
    """A version with its file: `name` is the project, the package URL and the filename have the crate's own
    spelling, `file_id` is the version."""
    version = summary.version.text
    filename = names.filename(summary.name, version)
    crate = registry.crate(summary.name)
    return Node(
        purl=purl,
        name=names.canonical(summary.name),
        version=version,
        filename=filename,
        sha256=summary.cksum,
        size_bytes=crate.sizes.get(filename) if isinstance(crate, Crate) else None,
        file_id=version,
        depth=depth,
        extras=tuple(sorted(state.features.get(summary, ()))),
        yanked=summary.yanked,
    )
