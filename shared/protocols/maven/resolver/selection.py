"""Of the occurrences of one artifact: which one stays, in which scope, optional or not.

As maven-resolver 1.6 selects: NearestVersionSelector, JavaScopeSelector, JavaScopeDeriver,
SimpleOptionalitySelector.
"""

from __future__ import annotations

from shared.protocols.maven.resolver.collect import GraphNode
from shared.protocols.maven.resolver.ranges import compare, fits

_WIDEST = ("compile", "runtime", "provided", "test")


class Unsolvable(Exception):
    """No version satisfies all hard requirements of one conflict id."""

    def __init__(self, items: list[Item]) -> None:
        super().__init__("no version fits")
        self.items = items


class Item:
    """One occurrence of the artifact in question, below one list of children."""

    __slots__ = ("depth", "node", "optionals", "scopes", "siblings")

    def __init__(self, siblings: list[GraphNode] | None, node: GraphNode, scope: str, optional: bool) -> None:
        self.siblings = siblings
        self.node = node
        self.scopes = {scope}
        self.optionals = {optional}
        self.depth = 0


def choose(items: list[Item]) -> Item:
    """NearestVersionSelector. Raises `Unsolvable`."""
    constraints: list[str] = []
    candidates: list[Item] = []
    winner: Item | None = None
    for item in items:
        constraint = item.node.constraint
        again = False
        if constraint and constraint not in constraints:
            constraints.append(constraint)
            again = winner is not None and not fits(constraint, _version(winner))
        accepted = all(fits(each, _version(item)) for each in constraints)
        if accepted:
            candidates.append(item)
        if again:
            candidates = [one for one in candidates if all(fits(each, _version(one)) for each in constraints)]
            winner = None
            for one in candidates:
                if winner is None or _nearer(one, winner):
                    winner = one
            if winner is None:
                raise Unsolvable(items)
        elif accepted and (winner is None or _nearer(item, winner)):
            winner = item
    if winner is None:
        raise Unsolvable(items)
    return winner


def derived_scope(parent: str | None, child: str) -> str:
    """What scope a dependency has below its parent (JavaScopeDeriver)."""
    if child in ("system", "test") or not parent or parent == "compile":
        return child
    if parent in ("test", "runtime"):
        return parent
    return "provided" if parent in ("system", "provided") else "runtime"


def _nearer(one: Item, other: Item) -> bool:
    if one.siblings is other.siblings:
        return compare(_version(one), _version(other)) > 0
    return one.depth < other.depth


def _version(item: Item) -> str:
    assert item.node.artifact is not None
    return item.node.artifact.version


def effective_scope(items: list[Item]) -> str:
    """The scope of the winner (JavaScopeSelector): that of the root's own dependency, else the widest."""
    scopes: set[str] = set()
    for item in items:
        if item.depth <= 1:
            return item.node.scope
        scopes |= item.scopes
    if len(scopes) > 1:
        scopes.discard("system")
    if len(scopes) == 1:
        return scopes.pop()
    return next((scope for scope in _WIDEST if scope in scopes), "")


def effective_optional(items: list[Item]) -> bool:
    """Whether the winner is optional (SimpleOptionalitySelector): only if all occurrences are."""
    for item in items:
        if item.depth <= 1:
            return item.node.optional
    return all(False not in item.optionals for item in items)
