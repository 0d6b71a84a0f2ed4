"""Parts of a tree that stand or fall together, and whether one package may take another's place."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from shared.protocols.npm.tree import Edge, Node


def gather(start: Iterable[Node], follow: Callable[[Edge], bool]) -> dict[Node, None]:
    """The nodes reached from some, without those that others need as well (by edges that `follow` admits)."""
    found = dict.fromkeys(start)
    queue = list(found)
    for node in queue:
        for edge in node.edges_out.values():
            target = edge.target
            if target is not None and target not in found and follow(edge):
                found[target] = None
                queue.append(target)
    held = [
        node for node in found if any(edge.source not in found and follow(edge) for edge in node.edges_in)
    ]
    while held:
        node = held.pop()
        if node in found:
            del found[node]
            for edge in node.edges_out.values():
                if edge.target is not None and edge.target in found and follow(edge):
                    held.append(edge.target)
    return found


def _is_held(node: Node, other: Node) -> bool:
    """Whether a chain of valid dependencies leads from a root to a node without passing another."""
    stack = [node]
    seen = {node, other}
    while stack:
        each = stack.pop()
        if each.parent is None:
            return True
        for edge in each.edges_in if each is not other else ():
            if edge.source not in seen and edge.valid:
                seen.add(edge.source)
                stack.append(edge.source)
    return False


def can_replace(node: Node, other: Node, ignored_peers: Iterable[str] = ()) -> bool:
    """Whether whoever depends on `other` would be as content with a node in its place."""
    if node.name != other.name or node.manifest.name != other.manifest.name:
        return False
    ignored = set(ignored_peers)
    losing = [
        edge.source
        for edge in other.edges_in
        if not edge.satisfied_by(node)
        and not (
            other.parent is not None
            and edge.source.parent is other.parent
            and edge.peer
            and edge.source.key in ignored
        )
    ]
    if not losing:
        return True
    # Those that would go together with `other` have no say; most are held by the root as well.
    if any(_is_held(source, other) for source in losing):
        return False
    own = gather([other], lambda edge: edge.target is not other and edge.valid)
    return all(source in own for source in losing)
