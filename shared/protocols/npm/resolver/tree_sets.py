"""Parts of a tree that stand or fall together, and whether one package may take another's place.

Sets of peers must see one another: how deep a package may go without breaking such a set. npm's order of
names and paths is that of the Unicode Collation Algorithm for English, for ASCII: punctuation comes before
digits, digits before letters; case decides only between equal texts, small letters first (Unicode Technical
Standard #10, default table).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache

from shared.protocols.npm.resolver.tree import Node
from shared.protocols.npm.resolver.tree_edges import Edge

_ORDER = "_-,;:!?.'\"()[]{}@*/\\&#%`^+<=>|~$0123456789abcdefghijklmnopqrstuvwxyz"
_PRIMARY = {ord(character): chr(at + 1) for at, character in enumerate(_ORDER)}
_PRIMARY |= {ord(character.upper()): _PRIMARY[ord(character)] for character in "abcdefghijklmnopqrstuvwxyz"}


@lru_cache(maxsize=65_536)
def sort_key(text: str) -> tuple[str, str]:
    """Sorting by this key is npm's order."""
    return text.translate(_PRIMARY), text.swapcase()


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
    if other.edges_out and node.overrides is not other.overrides:
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


def deepest_target(start: Node, key: str) -> Node:
    """The deepest node that may hold a dependency of `start`: above all that want it as their peer."""
    for node in start.ancestry():
        if node.around is None:
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
