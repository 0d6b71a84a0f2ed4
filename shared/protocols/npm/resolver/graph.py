"""From the finished tree to the graph that is kept: packages with their places, edges, what is missing."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from shared.errors import ResolutionTooLarge
from shared.protocols import graphs, resolution
from shared.protocols.npm.names import ONE_FILE_ID
from shared.protocols.npm.resolver.inner import bundled_below
from shared.protocols.npm.resolver.packument import Packument
from shared.protocols.npm.resolver.tree import Node
from shared.protocols.npm.resolver.tree_edges import Edge
from shared.protocols.reading.purls import Purl
from shared.protocols.resolution import (
    MAX_NODES,
    Document,
    KnownDocuments,
    Resolution,
    ResolutionRequest,
    Unresolved,
)

_BY_ADDRESS = "it is required by an address; only what a registry names is resolved"
_NO_SPEC = "what is asked for is neither a range nor a tag"


def build_resolution(request: ResolutionRequest, root: Node, known: KnownDocuments) -> Resolution:
    """The result of a finished tree. Raises `ResolutionTooLarge`."""
    own = [root, *root.members]
    placed = [
        node for node in root.whole() if node.failure is None and not node.is_own and not node.is_member_link
    ]
    if len(placed) > MAX_NODES:
        raise ResolutionTooLarge(f"the tree has more than {MAX_NODES} folders")
    places: dict[str, list[Node]] = {}
    purls: dict[Node, str] = dict.fromkeys(own, "")
    for node in placed:
        purl = purls[node] = _purl(node.manifest.name, node.version)
        places.setdefault(purl, []).append(node)
    edges: dict[resolution.Edge, None] = {}
    targets: dict[str, dict[str, None]] = {}
    unresolved: dict[Unresolved, None] = {}
    for node in [*own, *placed]:
        source = purls[node]
        for edge in node.edges_out.values():
            target = edge.target
            if target is None or target.is_member_link:
                continue
            if target.failure is not None:
                unresolved[_lacking(edge, target, source)] = None
                continue
            edges[resolution.Edge(source, purls[target], edge.wanted.text, edge.wanted.kind)] = None
            targets.setdefault(source, {})[purls[target]] = None
        for wanted in node.manifest.wanted:
            if wanted.spec.kind in ("address", "invalid") and node.link is None:
                reason = _BY_ADDRESS if wanted.spec.kind == "address" else _NO_SPEC
                unresolved[Unresolved(wanted.name, reason, source, wanted.text)] = None
    distances = graphs.depths(targets)
    bundled = bundled_below(root)
    kept = {purl for purl, depth in distances.items() if purl and depth <= request.max_depth}
    nodes = sorted(
        (_node(purl, places[purl], distances[purl], known, bundled) for purl in kept),
        key=lambda node: (node.depth, node.name, node.purl),
    )
    shown = {*kept, ""}
    return Resolution(
        request=request,
        key=request.key,
        complete=not any(one.passing for one in unresolved),
        nodes=tuple(nodes),
        edges=tuple(
            sorted(
                (edge for edge in edges if edge.source in shown and edge.target in shown),
                key=lambda edge: (edge.source, edge.target, edge.requirement, edge.kind),
            )
        ),
        unresolved=tuple(
            sorted(
                (one for one in unresolved if one.wanted_by in shown),
                key=lambda one: (one.name, one.wanted_by, one.requirement, one.reason),
            )
        ),
        cycles=tuple(tuple(cycle) for cycle in graphs.find_cycles(targets, kept)),
        truncated=len(kept) < len(places),
    )


def _node(
    purl: str, nodes: Sequence[Node], depth: int, known: KnownDocuments, bundled: Collection[Node]
) -> resolution.Node:
    """A package in all its places. `file_id` and `filename` are those of `FetchArtifact`: an npm address
    has no digest, so every tarball has the one id "-"."""
    manifest = next((each for each in nodes if each.manifest.filename), nodes[0]).manifest
    page = known.documents.get(Document("index", manifest.name))
    sealed: Mapping[str, tuple[str, int]] = page.sealed if isinstance(page, Packument) else {}
    sha256, size_bytes = sealed.get(manifest.filename, ("", None))
    return resolution.Node(
        purl=purl,
        name=manifest.name,
        version=manifest.version,
        filename=manifest.filename,
        sha256=sha256,
        size_bytes=size_bytes,
        file_id=ONE_FILE_ID,
        depth=depth,
        integrity=manifest.integrity,
        locations=tuple(sorted(node.path for node in nodes)),
        optional=all(node.optional for node in nodes),
        inert=all(node.inert for node in nodes),
        entries={
            node.path: _entry(node, bundled=node in bundled) for node in nodes if node.entry is not None
        },
    )


def _entry(node: Node, *, bundled: bool) -> dict[str, Any]:
    """What npm writes of a place below a package with a lock of its own, but for the address."""
    assert node.entry is not None
    hidden = ("name", "version", "resolved", "integrity", "inBundle")
    found = {key: value for key, value in node.entry.fields.items() if key not in hidden}
    if bundled:
        return found | {"inBundle": True}
    told = "integrity" in node.entry.fields
    return found | {"integrity": node.manifest.integrity} if told else found


def _lacking(edge: Edge, target: Node, source: str) -> Unresolved:
    assert target.failure is not None
    name = edge.asked.spec.package or edge.name
    return Unresolved(name, target.failure.reason, source, edge.asked.text, target.failure.passing)


def _purl(name: str, version: str) -> str:
    """The package URL of a package's version (purl specification, npm: the scope is the namespace)."""
    namespace, _, bare = name.rpartition("/")
    return str(Purl("npm", bare, namespace, version))
