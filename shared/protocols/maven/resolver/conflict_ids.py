"""Conflict ids of a collected graph: which occurrences conflict, and in which order they are mediated.

Rivals have one key (group, artifact, extension, classifier); an artifact that was relocated is also a
rival of the name that it had (ConflictMarker and ConflictIdSorter of maven-resolver 1.6).
"""

from __future__ import annotations

import heapq

from shared.protocols.maven.coordinates import ConflictKey
from shared.protocols.maven.resolver.collect import GraphNode

ConflictId = int


class _Rivals:
    """All keys of one id."""

    __slots__ = ("keys", "number")

    def __init__(self, keys: frozenset[ConflictKey], number: int) -> None:
        self.keys = keys
        self.number = number


class ConflictIds:
    """The conflict ids of one graph, before anything is pruned."""

    def __init__(self, root: GraphNode) -> None:
        self._rivals: dict[ConflictKey, _Rivals] = {}
        self._groups = 0
        self._depths: dict[ConflictId, int] = {}  # least distance, in the order in which they are met
        self._below: dict[ConflictId, dict[ConflictId, None]] = {}
        self._degrees: dict[ConflictId, int] = {}
        for node in all_nodes(root):
            if node.artifact is not None:
                self.mark(node)
        self._walk(root)

    def id_of(self, node: GraphNode) -> ConflictId:
        """The id of an occurrence; that of the root without an artifact means nothing."""
        return self._rivals[node.key].number if node.artifact is not None else -1

    def cyclic(self) -> dict[ConflictId, set[ConflictId]]:
        """For each id in a cycle the ids of its cycles. As Maven finds them: not all, since what is below an
        id is visited once."""
        found: dict[ConflictId, set[ConflictId]] = {}
        visited: set[ConflictId] = set()
        path: dict[ConflictId, int] = {}
        for start in self._depths:
            work = [(start, iter((start,)))]
            while work:
                above, following = work[-1]
                own = next(following, None)
                if own is None:
                    work.pop()
                    if work:
                        del path[above]
                elif own in path:
                    circle = {each for each, depth in path.items() if depth >= path[own]}
                    for each in circle:
                        found.setdefault(each, set()).update(circle)
                elif own not in visited:
                    visited.add(own)
                    path[own] = len(path)
                    work.append((own, iter(_as_hashed(self._below[own]))))
        return found

    def order(self) -> list[ConflictId]:
        """Topological; of those free the least deep first, then the longest free. Cycles are cut where they
        are least deep."""
        number = {own: at for at, own in enumerate(self._depths)}
        left = dict(self._degrees)
        found: list[ConflictId] = []
        heap: list[tuple[int, int, ConflictId]] = []
        arrived = 0

        def free(own: ConflictId) -> None:
            nonlocal arrived
            heapq.heappush(heap, (self._depths[own], arrived, own))
            arrived += 1

        for own in self._depths:
            if left[own] == 0:
                free(own)
        tied = [own for own in self._depths if left[own] > 0]
        while True:
            while heap:
                *_, current = heapq.heappop(heap)
                found.append(current)
                for child in _as_hashed(self._below[current]):
                    left[child] -= 1
                    if left[child] == 0:
                        free(child)
            tied = [own for own in tied if left[own] > 0]
            if not tied:
                return found
            nearest = min(tied, key=lambda own: (self._depths[own], left[own], number[own]))
            left[nearest] = 0
            free(nearest)

    def mark(self, node: GraphNode) -> None:
        """Note which keys are rivals. Numbers are given as ConflictMarker gives them."""
        own = frozenset(node.keys)
        group: _Rivals | None = None
        changed = False
        for key in node.keys:
            known = self._rivals.get(key)
            if known is group:
                continue
            if known is None:
                changed = True
            elif group is None:
                if own <= known.keys:
                    group = known
                    break
                group, changed = self._group(known.keys | own), True
            elif group.keys <= known.keys:
                group, changed = known, False
                break
            elif not known.keys <= group.keys:
                group, changed = self._group(known.keys | group.keys), True
        if group is None:
            group, changed = self._group(own), True
        if changed:
            for key in group.keys:
                self._rivals[key] = group

    def _group(self, keys: frozenset[ConflictKey]) -> _Rivals:
        self._groups += 1
        return _Rivals(keys, self._groups - 1)

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


def _as_hashed(below: dict[ConflictId, None]) -> list[ConflictId]:
    """In the order in which Java's HashSet iterates over their numbers: cycles depend on it."""
    places = 16
    while len(below) > places * 3 // 4:
        places *= 2
    return sorted(below, key=lambda own: own % places)


def all_nodes(root: GraphNode) -> list[GraphNode]:
    """Every occurrence with and below the root once, depth first."""
    found: list[GraphNode] = []
    seen: set[int] = set()
    stack = [root]
    while stack:
        node = stack.pop()
        if id(node) not in seen:
            seen.add(id(node))
            found.append(node)
            stack.extend(reversed(node.children))
    return found
