"""Sets of packages that must see one another, and how deep a package may go without breaking such a set."""

from __future__ import annotations

from shared.protocols.npm.tree import Edge, Node


def deepest_target(start: Node, key: str) -> Node:
    """The deepest node that may hold a dependency of `start`: above all that want it as their peer."""
    for node in start.ancestry():
        if node.parent is None:
            return node
        edge = node.edges_out.get(key)
        if edge is None or not edge.peer:
            return node
    raise AssertionError("a node without a root")


def peer_entry_sets(node: Node) -> dict[Edge, dict[Node, None]]:
    """The peer sets that a node is in, each by the edge through which it came into the tree."""
    union = {node: None}
    queue = [node]
    for each in queue:
        linked = [edge.target for edge in each.edges_out.values() if edge.peer and edge.target and edge.valid]
        linked += [edge.source for edge in each.edges_in if edge.peer and edge.valid]
        for other in linked:
            if other is not None and other not in union:
                union[other] = None
                queue.append(other)
    found: dict[Edge, dict[Node, None]] = {}
    for peer in union:
        for edge in peer.edges_in:
            if edge.valid and (not edge.peer or edge.source.parent is None):
                members = _brought_in_by(peer)
                if node in members:
                    found[edge] = members
    return found


def _brought_in_by(entry: Node) -> dict[Node, None]:
    found = {entry: None}
    queue = [entry]
    for each in queue:
        for edge in each.edges_out.values():
            if edge.peer and edge.target is not None and edge.target not in found and edge.valid:
                found[edge.target] = None
                queue.append(edge.target)
    return found
