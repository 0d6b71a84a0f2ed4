"""Puts a package and its unmet peers into a tree: as high as nothing objects to it (npm's place-dep)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from shared.errors import ResolutionConflict
from shared.protocols.npm.resolver.tree import Node
from shared.protocols.npm.resolver.tree_check import Check, Verdict
from shared.protocols.npm.resolver.tree_edges import Edge
from shared.protocols.npm.resolver.tree_sets import (
    can_replace,
    deepest_target,
    gather,
    peer_entry_sets,
    sort_key,
)
from shared.protocols.npm.semver import parse_version

Explain = Callable[[Edge, Node], ResolutionConflict]


class Placement:
    """What became of one package: `placed` is its node in the tree, None if what was there is kept.

    `node` is in a virtual root with its peers; copies of them are placed. Raises `ResolutionConflict`
    if there is no place and the project itself asks for it.
    """

    def __init__(
        self,
        node: Node,
        edge: Edge,
        *,
        explain: Explain,
        tick: Callable[[], None],
        parent: Placement | None = None,
    ) -> None:
        self.node = node
        self.edge = edge
        self.parent = parent
        self.placed: Node | None = None
        self.check: Check | None = None
        self.peers: list[Placement] = []
        self.again: dict[Node, None] = {}  # nodes whose dependencies must be looked at once more
        self._explain = explain
        self._tick = tick
        if edge.target is None or not edge.valid:
            self._place()

    def all(self) -> Iterable[Placement]:
        """This and the placements of all peers, depth first."""
        yield self
        for peer in self.peers:
            yield from peer.all()

    @property
    def top(self) -> Placement:
        return self if self.parent is None else self.parent.top

    def _place(self) -> None:
        check = self._find()
        if check is None:
            return
        self.check = check
        target = check.target
        verdict = check.own if check.verdict is Verdict.CONFLICT else check.verdict
        if verdict is Verdict.KEEP:
            if self.edge.peer and not self.edge.valid:
                self.edge.conflicted = True
            _prune_below(target)
            return
        loop = next((each for each in target.ancestry() if each.parent and each.matches(self.node)), None)
        if loop is not None:  # a1 -> b1 -> a2 -> b2 -> a1 … would never end
            self.placed = Node(self.node.name, loop.manifest, link=loop)
            self.placed.attach(target)
            return
        self._put(target)

    def _find(self) -> Check | None:
        """The shallowest folder before the first conflict; None if what is there is kept for want of one."""
        found: Check | None = None
        found_alone: Check | None = None
        for target in self._start().ancestry():
            requirement = target.edges_out.get(self.edge.key)
            if target.parent is not None and requirement is not None and requirement.peer:
                continue
            check = Check(
                self.node,
                target,
                self.edge,
                parent=None if self.parent is None else self.parent.check,
                tick=self._tick,
            )
            if check.own is not Verdict.CONFLICT:
                found_alone = check
            if check.verdict is Verdict.CONFLICT:
                break
            found = check
            if self.node.failure is not None:
                break
        if found is not None:
            return found
        if self._is_own():
            raise self._explain(self.top.edge, self.top.node)
        if found_alone is None:
            self.edge.conflicted = True
        return found_alone

    def _start(self) -> Node:
        source = self.edge.source if self.parent is None else self.parent._start()
        return deepest_target(source, self.edge.key)

    def _is_own(self) -> bool:
        """Whether the project asks for this itself, or for a set of peers that it belongs to."""
        edge = self.top.edge
        source = edge.source
        if source.is_own:
            return True
        if not edge.peer:
            return False
        if any(not each.peer and each.source.is_own for each in source.edges_in):
            return True
        return any(each.peer for each in source.edges_in) and any(
            entry.source.is_own for entry in peer_entry_sets(source)
        )

    def _put(self, target: Node) -> None:
        virtual = self.node.parent
        placed = self.placed = Node(
            self.node.name,
            self.node.manifest,
            failure=self.node.failure,
            link=self.node.link,
            overrides=self.node.overrides,
        )
        old = target.children.get(placed.key)
        if old is None:
            placed.attach(target)
        else:
            self._replace(old, placed)
        edge = self.edge
        if edge.peer and not placed.satisfies(edge):
            edge.conflicted = True
        if edge.valid and edge.target is not None and edge.target is not placed:
            _prune(edge.target)
        for node in list(target.root.by_name.get(placed.key, ())):
            if node.root is target.root and node.is_within(target) and node.parent is not None:
                _prune(node)
                if node.root is target.root:
                    for kid in list(node.children.values()):
                        _prune(kid)
        if virtual is None:
            return
        for each in list(placed.edges_out.values()):
            if each.valid or not each.peer or each.conflicted:
                continue
            peer = virtual.children.get(each.key)
            if peer is not None and peer.satisfies(each):
                self.peers.append(Placement(peer, each, explain=self._explain, tick=self._tick, parent=self))

    def _replace(self, old: Node, placed: Node) -> None:
        """Take the old node's place; what only it needed goes, and peer sets that it breaks go deeper."""
        target = old.parent
        assert target is not None
        orphans: list[Node] = []
        for key, edge in old.edges_out.items():
            if key not in placed.edges_out and edge.target is not None:
                left = edge.target
                orphans += gather([left], lambda each, left=left: each.target is not left)  # type: ignore[misc]
        broken: list[Node] = []
        for edge in old.edges_in:
            if placed.satisfies(edge) or not edge.peer or edge.source.parent is not target or edge.conflicted:
                continue
            for entry in peer_entry_sets(edge.source):
                entered = entry.target
                assert entered is not None
                if not entry.source.is_own:
                    broken += gather(
                        [entered],
                        lambda each, entered=entered: (  # type: ignore[misc]
                            each.target is not entered and not each.conflicted
                        ),
                    )
                else:
                    edge.conflicted = True
        placed.replace(old)
        _drop_unneeded(placed, orphans)
        for node in broken:
            for each in node.edges_in:
                self.again[each.source] = None
            node.detach()


def _drop_unneeded(node: Node, orphans: Iterable[Node]) -> None:
    invalid = {
        edge.target: None for edge in node.edges_out.values() if edge.target is not None and not edge.valid
    }
    for orphan in orphans:
        invalid |= gather(
            [orphan],
            lambda edge, orphan=orphan: edge.target is not orphan and edge.valid,  # type: ignore[misc]
        )
    unneeded = gather(
        invalid, lambda edge: edge.source is not node and edge.target is not node and edge.valid
    )
    for each in unneeded:
        each.detach()


def _prune_below(node: Node) -> None:
    """Drop duplicates inside a node, in the order of their places."""
    if _prune(node):
        return
    for inside in [node, *sorted(node.members, key=lambda each: sort_key(each.path))]:
        for child in sorted(inside.children.values(), key=lambda each: sort_key(each.path)):
            _prune_below(child)


def _prune(node: Node) -> bool:
    """Drop a node that whoever needs it could do without, with what only it needed."""
    if not _can_go(node):
        return False
    for each in gather([node], lambda edge: edge.target is not node and edge.valid):
        each.detach()
    return True


def _can_go(node: Node) -> bool:
    """Whether the same name, found further up, serves all dependents; the newer of two is kept."""
    if node.parent is None or node.parent.around is None:
        return False
    if node.fixed:
        return False
    if not node.edges_in:
        return True
    other = node.parent.around.resolve(node.key)
    if other is None:
        return False
    if other.matches(node):
        return True
    if not can_replace(other, node):
        return False
    theirs, mine = parse_version(other.version), parse_version(node.version)
    if theirs is None or mine is None:
        return False
    return theirs.key == mine.key or (theirs.key > mine.key and not node.overridden)
