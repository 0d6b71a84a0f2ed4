"""From the solver's choice to the graph that is kept: nodes, edges, what is missing, knots."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from packageurl import PackageURL

from shared.errors import ResolutionTooLarge
from shared.protocols.graphs import depths, knots
from shared.protocols.pypi.solver import PYTHON, Pick, Provider, Wish
from shared.protocols.resolution import MAX_NODES, Edge, Node, Resolution, ResolutionRequest, Unresolved


def build_resolution(
    request: ResolutionRequest, provider: Provider, roots: Sequence[Wish], mapping: Mapping[str, Pick]
) -> Resolution:
    """The result of a run without needs. Raises `ResolutionTooLarge`."""
    picks = {pick.name: pick for pick in mapping.values() if pick.file is not None and not pick.extras}
    if len(picks) > MAX_NODES:
        raise ResolutionTooLarge(f"the graph has more than {MAX_NODES} nodes")
    purls = {name: purl_of(pick) for name, pick in picks.items()}
    edges: dict[Edge, None] = {}
    unresolved: dict[Unresolved, None] = {}
    extras: dict[str, set[str]] = {}
    targets: dict[str, dict[str, None]] = {"": {}}

    def add(source: Pick | None, wish: Wish) -> None:
        name = "" if source is None else source.name
        target = mapping[wish.identifier]
        if target.file is None:
            unresolved[Unresolved(wish.name, target.reason, purls.get(name, ""), wish.text, passing=True)] = (
                None
            )
            return
        extras.setdefault(wish.name, set()).update(wish.extras)
        targets.setdefault(name, {})[wish.name] = None
        edges[Edge(purls.get(name, ""), purls[wish.name], wish.text)] = None

    for wish in roots:
        add(None, wish)
    for _, pick in sorted(mapping.items()):
        if pick.name == PYTHON or pick.file is None:
            continue
        for wish in provider.get_dependencies(pick):
            if wish.name not in (PYTHON, pick.name) or (wish.name == pick.name and wish.extras):
                add(pick, wish)
    for pick in picks.values():
        assert pick.file is not None
        why = provider.unknown_metadata.get(pick.file.filename)
        if why is not None:
            unresolved[Unresolved(pick.name, why[0], purls[pick.name], passing=why[1])] = None
    for parent, requirement in provider.urls:
        if parent is None or mapping.get(parent.identifier) is parent:
            reason = "it is required by an address; only names are resolved"
            by = "" if parent is None else purls[parent.name]
            unresolved[Unresolved(requirement.name, reason, by, requirement.text)] = None
    distances = depths(targets)
    kept = {name for name, depth in distances.items() if name and depth <= request.max_depth}
    nodes = sorted(
        (_node(picks[name], purls[name], distances[name], extras.get(name, set())) for name in kept),
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
        cycles=tuple(tuple(sorted(purls[name] for name in knot)) for knot in knots(targets, kept)),
        truncated=len(kept) < len(picks),
    )


def purl_of(pick: Pick) -> str:
    """The package URL of a project's version."""
    return str(PackageURL(type="pypi", name=pick.name, version=str(pick.version)).to_string())


def _node(pick: Pick, purl: str, depth: int, extras: Iterable[str]) -> Node:
    file = pick.file
    assert file is not None
    return Node(
        purl=purl,
        name=pick.name,
        version=str(pick.version),
        filename=file.filename,
        sha256=file.sha256,
        size_bytes=file.size_bytes,
        file_id=file.file_id,
        depth=depth,
        extras=tuple(sorted(extras)),
        yanked=file.yanked,
    )
