"""Conflict ids of a collected graph: which occurrences are rivals, and in which order they are settled.

Rivals have one key (group, artifact, extension, classifier); an artifact that was relocated is also a
rival of the name that it had (ConflictMarker and ConflictIdSorter of maven-resolver 1.6).
"""

from __future__ import annotations

import heapq

from shared.protocols.graphs import knots
from shared.protocols.maven.collect import GraphNode
from shared.protocols.maven.coordinates import ConflictKey

ConflictId = ConflictKey  # the key that stands for all of its rivals


class ConflictIds:
    """Of one graph, as it is before anything is pruned."""

    def __init__(self, root: GraphNode) -> None:
        self._stands_for: dict[ConflictKey, ConflictKey] = {}
        self._depths: dict[ConflictId, int] = {}  # least distance, in the order in which they are met
        self._below: dict[ConflictId, dict[ConflictId, None]] = {}
        self._degrees: dict[ConflictId, int] = {}
        for node in all_nodes(root):
            for key in node.keys[1:]:
                self._join(node.key, key)
        self._walk(root)

    def id_of(self, node: GraphNode) -> ConflictId:
        """The id of an occurrence; that of the root without an artifact means nothing."""
        key = node.key
        while key in self._stands_for:
            key = self._stands_for[key]
        return key

    def cyclic(self) -> dict[ConflictId, set[ConflictId]]:
        """Per id that lies in a knot all ids of the knot."""
        names = {":".join(own): own for own in self._depths}
        targets = {":".join(own): [":".join(each) for each in below] for own, below in self._below.items()}
        found = [{names[name] for name in knot} for knot in knots(targets, set(names))]
        return {own: knot for knot in found for own in knot}

    def order(self) -> list[ConflictId]:
        """Topological; of those free the least deep first. Knots are cut where they are least deep."""
        number = {own: at for at, own in enumerate(self._depths)}
        left = dict(self._degrees)
        found: list[ConflictId] = []
        heap = [(self._depths[own], number[own], own) for own in self._depths if left[own] == 0]
        heapq.heapify(heap)
        tied = [own for own in self._depths if left[own] > 0]
        while True:
            while heap:
                *_, current = heapq.heappop(heap)
                found.append(current)
                for child in self._below[current]:
                    left[child] -= 1
                    if left[child] == 0:
                        heapq.heappush(heap, (self._depths[child], number[child], child))
            tied = [own for own in tied if left[own] > 0]
            if not tied:
                return found
            nearest = min(tied, key=lambda own: (self._depths[own], left[own], number[own]))
            left[nearest] = 0
            heap.append((self._depths[nearest], number[nearest], nearest))

    def _join(self, one: ConflictKey, other: ConflictKey) -> None:
        while one in self._stands_for:
            one = self._stands_for[one]
        while other in self._stands_for:
            other = self._stands_for[other]
        if one != other:
            self._stands_for[other] = one

    def _walk(self, root: GraphNode) -> None:
        own = self._meet(root, 0) if root.artifact is not None else None
        seen = {id(root)}
        stack = [(own, 1, iter(root.children))]
        while stack:
            above, depth, children = stack[-1]
            child = next(children, None)
            if child is None:
                stack.pop()
                continue
            own = self._meet(child, depth)
            if above is not None and own not in self._below[above]:
                self._below[above][own] = None
                self._degrees[own] += 1
            if id(child) not in seen:
                seen.add(id(child))
                stack.append((own, depth + 1, iter(child.children)))

    def _meet(self, node: GraphNode, depth: int) -> ConflictId:
        own = self.id_of(node)
        if own not in self._depths:
            self._depths[own] = depth
            self._below[own] = {}
            self._degrees[own] = 0
        self._depths[own] = min(self._depths[own], depth)
        return own


def all_nodes(root: GraphNode) -> list[GraphNode]:
    """Every occurrence below and with the root, once each."""
    found: list[GraphNode] = []
    seen = {id(root)}
    stack = [root]
    while stack:
        node = stack.pop()
        found.append(node)
        for child in node.children:
            if id(child) not in seen:
                seen.add(id(child))
                stack.append(child)
    return found
