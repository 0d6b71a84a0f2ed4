"""Which version of each artifact stays: Maven's second pass over the collected graph.

As maven-resolver 1.6 does it (ConflictResolver). Conflict ids are settled from the roots on, so that what
only losers required is gone before its turn comes. The nearest wins, of equally near ones the first in
order of declaration; among siblings, which a range brings, the newest (`selection.py`). Hard requirements
must hold for the winner. The winner's scope is the widest of all its occurrences'.
"""

from __future__ import annotations

from collections.abc import Callable

from shared.errors import ResolutionTooLarge
from shared.protocols.maven.coordinates import ConflictKey
from shared.protocols.maven.resolver.collect import GraphNode
from shared.protocols.maven.resolver.conflict_ids import ConflictId, ConflictIds, all_nodes
from shared.protocols.maven.resolver.selection import (
    Item,
    choose,
    derived_scope,
    effective_optional,
    effective_scope,
)


class _Below:
    """What is known of one list of children while the graph is walked."""

    __slots__ = ("items", "min_depth", "optionals", "scopes")

    def __init__(self, depth: int, scope: str, optional: bool) -> None:
        self.min_depth = depth
        self.scopes = {scope}
        self.optionals = {optional}
        self.items: list[Item] = []


class Mediation:
    """One run over one graph, which it prunes to the winners. `declared` keeps what was there before."""

    def __init__(self, root: GraphNode, give_up: Callable[[], bool]) -> None:
        self._root = root
        self._give_up = give_up
        self._ids = ConflictIds(root)
        self._declared = {id(node.children): tuple(node.children) for node in all_nodes(root)}
        self._resolved: dict[ConflictId, GraphNode | None] = {}
        self._ancestors: set[ConflictId] = set()
        self._current: ConflictId | None = None
        self._items: list[Item] = []
        self._below: dict[int, _Below] = {}
        self._on_stack: set[int] = set()
        self._parents: list[tuple[GraphNode, _Below | None, str | None, bool]] = []

    def run(self) -> dict[ConflictKey, GraphNode]:
        """The winners by conflict key, each reachable from the root by `children`.

        Raises `selection.Unsolvable`, and `ResolutionTooLarge` when told to give up.
        """
        order, cyclic = self._ids.order(), self._ids.cyclic()
        winner: GraphNode | None = None
        for current in order:
            if self._give_up():
                raise ResolutionTooLarge("choosing versions took too long")
            self._prepare(current)
            self._ancestors |= cyclic.get(current, set())
            self._gather(self._root)
            self._finish()
            winner = self._settle() if self._items else None
            self._resolved[current] = winner
        if cyclic and winner is not None:
            self._prepare(None)
            self._gather(winner)
        return self._reachable()

    def declared(self, node: GraphNode) -> tuple[GraphNode, ...]:
        """The children that a node had before any was pruned."""
        return self._declared[id(node.children)]

    def add(self, node: GraphNode, winners: dict[ConflictKey, GraphNode]) -> None:
        """A child of the root that joins the winners afterwards. It must have no rival."""
        self._ids.mark(node)
        self._declared[id(node.children)] = ()
        self._declared[id(self._root.children)] += (node,)
        self._root.children.append(node)
        winners[node.key] = node

    def targets(self, winners: dict[ConflictKey, GraphNode]) -> Callable[[GraphNode], GraphNode | None]:
        """Which of the winners stands for an occurrence in the end; None: what led to it has lost.

        By id, since in cycles Maven leaves some in place that it never came to settle.
        """
        by_id = {self._ids.id_of(node): node for node in reversed(winners.values())}
        return lambda node: winners.get(node.key) or by_id.get(self._ids.id_of(node))

    def _reachable(self) -> dict[ConflictKey, GraphNode]:
        found: dict[ConflictKey, GraphNode] = {}
        seen: set[int] = set()
        stack = [self._root]
        while stack:
            node = stack.pop()
            if id(node) in seen:
                continue
            seen.add(id(node))
            if node.artifact is not None:
                found.setdefault(node.key, node)
            stack.extend(reversed(node.children))
        return found

    # --- walking -----------------------------------------------------------------------------------

    def _prepare(self, current: ConflictId | None) -> None:
        self._current = current
        self._items = []
        self._below.clear()
        self._on_stack.clear()
        self._parents.clear()

    def _gather(self, start: GraphNode) -> None:
        """Find the occurrences of the current id; losers left over from earlier ids go on the way."""
        if self._visit(start) != "descend":
            return
        work = [(start.children, 0)]
        while work:
            children, at = work.pop()
            if at == len(children):
                self._parents.pop()
                self._on_stack.discard(id(children))
                continue
            child = children[at]
            what = self._visit(child)
            if what == "drop":
                del children[at]
                work.append((children, at))
                continue
            work.append((children, at + 1))
            if what == "descend":
                work.append((child.children, 0))

    def _visit(self, node: GraphNode) -> str:
        own = self._ids.id_of(node)
        if own == self._current and node.artifact is not None:
            self._found(node)
            return "keep"
        winner = self._resolved.get(own) if node.artifact is not None else None
        if winner is not None and winner is not node:
            return "drop"
        return "descend" if self._push(node, own) else "keep"

    def _push(self, node: GraphNode, own: ConflictId) -> bool:
        if node.artifact is not None and own not in self._ancestors:
            return False
        children = id(node.children)
        if children in self._on_stack:
            return False
        depth = len(self._parents)
        settled = node.artifact is not None and own in self._resolved
        scope = self._scope(node, settled)
        optional = self._optional(node, settled)
        known = self._below.get(children)
        if known is None:
            known = self._below[children] = _Below(depth, scope, optional)
            self._parents.append((node, known, scope, optional))
        else:
            known.min_depth = min(known.min_depth, depth)
            new_scope, new_optional = scope not in known.scopes, optional not in known.optionals
            if not (new_scope or new_optional):
                return False
            known.scopes.add(scope)
            known.optionals.add(optional)
            self._parents.append((node, None, scope, optional))  # no new items, the known ones are widened
            for item in known.items:
                if new_scope:
                    item.scopes.add(self._scope(item.node, False))
                if new_optional:
                    item.optionals.add(self._optional(item.node, False))
        self._on_stack.add(children)
        return True

    def _found(self, node: GraphNode) -> None:
        siblings = self._parents[-1][0].children if self._parents else None
        below = self._parents[-1][1] if self._parents else None
        if self._parents and below is None:
            return
        item = Item(siblings, node, self._scope(node, False), self._optional(node, False))
        self._items.append(item)
        if below is not None:
            below.items.append(item)

    def _finish(self) -> None:
        for item in self._items:
            if item.siblings is not None:
                item.depth = self._below[id(item.siblings)].min_depth + 1
        if self._current is not None:
            self._ancestors.add(self._current)

    # --- scopes ------------------------------------------------------------------------------------

    def _scope(self, node: GraphNode, settled: bool) -> str:
        if node.managed_scope or settled or not self._parents:
            return node.scope
        return derived_scope(self._parents[-1][2], node.scope)

    def _optional(self, node: GraphNode, settled: bool) -> bool:
        if node.optional or node.managed_optional or settled or not self._parents:
            return node.optional
        return self._parents[-1][3]

    # --- deciding ----------------------------------------------------------------------------------

    def _settle(self) -> GraphNode:
        chosen = choose(self._items)
        winner = chosen.node
        if winner.scope != "system":
            winner.scope = effective_scope(self._items)
        winner.optional = effective_optional(self._items)
        for item in self._items:
            if item is not chosen and item.siblings is not None:
                at = next((at for at, each in enumerate(item.siblings) if each is item.node), -1)
                if at >= 0:
                    del item.siblings[at]
        return winner
