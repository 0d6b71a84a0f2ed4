"""Whether a package, with all the peers it needs, may go into one node_modules folder (npm's can-place-dep).

Read only: many folders are tried for one package, and none may change by being looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from shared.protocols.npm.resolver.tree import Node
from shared.protocols.npm.resolver.tree_edges import Edge
from shared.protocols.npm.resolver.tree_sets import can_replace, deepest_target, peer_entry_sets
from shared.protocols.npm.semver import parse_version


class Verdict(Enum):
    OK = "ok"  # nothing is there
    KEEP = "keep"  # what is there will do
    REPLACE = "replace"  # what is there may go, or must
    CONFLICT = "conflict"


class Check:
    """One package tried in one folder. `verdict` is of it with its peers, `own` of it alone."""

    def __init__(
        self,
        node: Node,
        target: Node,
        edge: Edge,
        *,
        explicit: bool = False,
        prefer_present: bool = False,
        parent: Check | None = None,
        path: tuple[Node, ...] = (),
        tick: Callable[[], None],
    ) -> None:
        self.node = node  # in a virtual root, with its peers beside it
        self.target = target
        self.edge = edge
        self.parent = parent
        self.peers: list[Check] = []
        self._explicit = explicit
        self._prefer_present = prefer_present or edge.peer  # peers try to be single
        self._path = path
        self._tick = tick
        self.current = target.children.get(edge.key)
        self._target_edge = target.edges_out.get(edge.key)
        self._peers_verdict: Verdict | None = None
        self.own: Verdict | None = None
        tick()
        self.verdict = self._check()
        if self.own is None:
            self.own = self.verdict

    @property
    def entry_edge(self) -> Edge:
        """The edge that the whole set of peers is placed for."""
        return self.edge if self.parent is None else self.parent.entry_edge

    def _check(self) -> Verdict:
        node, target, target_edge = self.node, self.target, self._target_edge
        if node.failure is not None:
            return Verdict.OK if self.current is None else Verdict.REPLACE
        if target_edge is not None and target_edge.peer and target.parent is not None:
            return Verdict.CONFLICT  # a peer cannot be inside its dependent
        if self.current is not None:
            return self._check_current(self.current)
        if target_edge is not None and target_edge is not self.edge and not node.satisfies(target_edge):
            return Verdict.CONFLICT
        return self._check_empty()

    def _check_empty(self) -> Verdict:
        if self.target is not self.entry_edge.source:
            shadowed = self.target.resolve(self.edge.key)
            if shadowed is not None:
                for edge in shadowed.edges_in:
                    if edge.source.is_within(self.target) and edge.valid and not self.node.satisfies(edge):
                        return Verdict.CONFLICT
        return self._with_peers(Verdict.OK)

    def _check_current(self, current: Node) -> Verdict:
        node, edge = self.node, self.edge
        if node.matches(current) and (current.satisfies(edge) or not node.satisfies(edge)):
            return Verdict.REPLACE if self._explicit else Verdict.KEEP
        newer = _at_least(node, current)
        if newer and can_replace(node, current):
            verdict = self._with_peers(Verdict.REPLACE)
            if verdict is not Verdict.CONFLICT:
                return verdict
        if current.satisfies(edge) and (not self._explicit or self._prefer_present):
            return Verdict.KEEP
        if self._prefer_present and not newer and can_replace(node, current):
            verdict = self._with_peers(Verdict.REPLACE)
            if verdict is not Verdict.CONFLICT:
                return verdict
        if self.target is not self._deepest():
            return Verdict.CONFLICT  # this one can go deeper, so what is there stays
        if not edge.peer and self.target is edge.source:
            return self._with_peers(Verdict.REPLACE)  # it must be here
        if self.parent is None and not edge.peer:
            return Verdict.CONFLICT
        if self._sets_can_go(current):
            return self._with_peers(Verdict.REPLACE)
        return Verdict.CONFLICT

    def _sets_can_go(self, current: Node) -> bool:
        """Whether every peer set that holds the present node can be replaced whole, or go deeper."""
        assert self.node.parent is not None
        beside = self.node.parent.children
        for entry, members in peer_entry_sets(current).items():
            if entry is self.edge or entry is self.entry_edge:
                continue
            entered = entry.target
            assert entered is not None
            instead = beside.get(entered.key)
            if instead is not None:
                if can_replace(instead, entered, beside):
                    continue
            elif self._covers(entered, beside):
                continue
            for member in members:
                deepest = deepest_target(entry.source, member.key)
                if deepest is self.target or self.target.is_within(deepest):
                    return False
        return True

    @staticmethod
    def _covers(entered: Node, beside: dict[str, Node]) -> bool:
        """Whether the new peers satisfy all that the present set asks of their names."""
        walked = {entered: None}
        queue = [entered]
        for peer in queue:
            for edge in peer.edges_out.values():
                if not edge.peer or not edge.valid:
                    continue
                instead = beside.get(edge.key)
                if instead is None:
                    if edge.target is not None and edge.target not in walked:
                        walked[edge.target] = None
                        queue.append(edge.target)
                elif not instead.satisfies(edge):
                    return False
        return True

    def _deepest(self) -> Node:
        start = self.edge.source if self.parent is None else self.parent._deepest()
        return deepest_target(start, self.edge.key)

    def _with_peers(self, verdict: Verdict) -> Verdict:
        """The verdict if every peer can go here or above as well."""
        self.own = verdict
        if self._peers_verdict is not None:
            return self._peers_verdict
        path = (*self._path, self.node)
        found = verdict
        for edge in self.node.edges_out.values():
            peer = edge.target
            if not edge.peer or peer is None or peer in path:
                continue
            check = Check(
                peer,
                deepest_target(self.target, peer.key),
                edge,
                prefer_present=True,
                parent=self,
                path=path,
                tick=self._tick,
            )
            self.peers.append(check)
            if check.verdict is Verdict.CONFLICT:
                found = Verdict.CONFLICT
        self._peers_verdict = found
        return found


def _at_least(node: Node, current: Node) -> bool:
    mine, theirs = parse_version(node.version), parse_version(current.version)
    return mine is not None and theirs is not None and mine.key >= theirs.key
