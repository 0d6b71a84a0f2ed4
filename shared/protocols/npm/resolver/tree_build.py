"""Builds the tree that npm would install: what is missing or wrong is fetched and placed, folder by folder.

The order of work is npm's (arborist, "hoisted" strategy), for it decides who gets the place at the top:
shallow folders first, then by path; a folder's dependencies by name; a package together with its peers,
which are first agreed on in a virtual root.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator

from shared.errors import ResolutionTooLarge
from shared.protocols.npm.resolver.failure import Failure
from shared.protocols.npm.resolver.inner import is_bundled, put_below
from shared.protocols.npm.resolver.picking import PEERS, Manifest, Wanted
from shared.protocols.npm.resolver.tree import Node
from shared.protocols.npm.resolver.tree_check import Verdict
from shared.protocols.npm.resolver.tree_conflicts import explain
from shared.protocols.npm.resolver.tree_edges import Edge
from shared.protocols.npm.resolver.tree_place import Placement
from shared.protocols.npm.resolver.tree_sets import can_replace, sort_key
from shared.protocols.npm.shrinkwrap import InnerEntry
from shared.protocols.resolution import MAX_NODES

Fetch = Callable[[Wanted], Manifest | Failure]
Inner = Callable[[Manifest], tuple[InnerEntry, ...] | Failure]

_MOST_PLACED = 4 * MAX_NODES  # replaced ones count too
_NOBODY = Node("")
_TICKS = 64  # of work between two looks at the clock


class TreeBuilder:
    """One run. `root.edges_out` are the requirements; `fetch` knows the packages, `inner` the locks that some
    of them bring."""

    def __init__(self, root: Node, fetch: Fetch, inner: Inner, give_up: Callable[[], bool]) -> None:
        self._root = root
        self._fetch = fetch
        self._inner = inner
        self._give_up = give_up
        self._ticks = 0
        self._placed = 0
        self._queue: list[tuple[int, tuple[str, str], int, Node]] = []
        self._queued: set[Node] = set()
        self._pushed = 0
        self._seen: set[Node] = set()
        self._virtual: dict[Node, Node] = {}

    def build(self) -> None:
        """Complete the tree. Raises `ResolutionConflict`, `ResolutionTooLarge`."""
        self._push(self._root)
        try:
            while self._queue:
                node = heapq.heappop(self._queue)[-1]
                self._queued.discard(node)
                if node not in self._seen and node.root is self._root:
                    self._seen.add(node)
                    self._complete(node)
                if not self._queue:  # members come when all that the root needs is placed
                    for member in self._root.members:
                        if member not in self._seen:
                            self._push(member)
        except RecursionError as error:
            raise ResolutionTooLarge("peers depend on one another in too long a chain") from error

    # --- one folder -----------------------------------------------------------------------------------

    def _complete(self, node: Node) -> None:
        """Place what a node lacks."""
        if node.manifest.shrinkwrap and node.parent is not None and not self._put_below(node):
            return
        tasks = []
        for edge in list(self._problems(node)):
            if edge.conflicted:
                continue
            virtual = self._virtual.get(node)
            tried = None if virtual is None else virtual.edges_out.get(edge.key)
            dep = tried.target if tried is not None and tried.valid else None
            if dep is not None and not dep.satisfies(edge):
                dep = None
            if dep is None and edge.peer_optional:
                dep = _present(edge.source.around or edge.source, edge)
            if dep is None and not edge.peer and node.overrides is None:
                dep = self._without_peers(edge)
            if dep is None:
                parent = self._virtual_root(node, reuse=True) if edge.peer else None
                dep = self._from_edge(edge, parent, None, {edge.source})
            tasks.append((edge, dep))
        tasks.sort(key=lambda task: sort_key(task[0].name))
        for edge, dep in tasks:
            placement = Placement(dep, edge, explain=explain, tick=self._tick)
            for each in placement.all():
                self._settle(each)

    def _settle(self, placement: Placement) -> None:
        """Queue what a placement has left to do."""
        placed, check = placement.placed, placement.check
        if placed is None or check is None:
            return
        self._placed += 1
        if self._placed > _MOST_PLACED:
            raise ResolutionTooLarge(f"the tree has more than {MAX_NODES} folders")
        for edge in list(placed.edges_in):
            if edge is placement.edge or edge.valid or edge.conflicted:
                continue
            if check.own in (Verdict.OK, Verdict.REPLACE):
                self._seen.discard(edge.source)
                self._push(edge.source)
        self._push(placed)
        for node in placement.again:
            self._seen.discard(node)
            self._push(node)

    def _problems(self, node: Node) -> Iterator[Edge]:
        bundled = node.manifest.bundled if node.parent is not None else frozenset()
        for edge in node.edges_out.values():
            if edge.name in bundled:  # its tarball brings it
                continue
            if edge.target is None:
                if not edge.peer_optional:
                    yield edge
            elif edge.target.failure is None and not edge.valid and not edge.target.fixed:
                yield edge

    def _put_below(self, node: Node) -> bool:
        """Place what a package's own lock lists; False where that cannot be had."""
        found = self._inner(node.manifest)
        if isinstance(found, Failure):
            node.failure = found
            return False
        self._placed += len(found)
        if self._placed > _MOST_PLACED:
            raise ResolutionTooLarge(f"the tree has more than {MAX_NODES} folders")
        put_below(node, found)
        return True

    def _push(self, node: Node) -> None:
        if node not in self._queued:
            self._queued.add(node)
            self._pushed += 1
            heapq.heappush(self._queue, (node.depth, sort_key(node.path), self._pushed, node))

    def _tick(self) -> None:
        self._ticks += 1
        if self._ticks % _TICKS == 0 and self._give_up():
            raise ResolutionTooLarge("it takes longer than a resolution may")

    # --- peers ----------------------------------------------------------------------------------------

    def _virtual_root(self, node: Node, *, reuse: bool = False) -> Node:
        """A root with the dependencies of a node, in which its packages and their peers are tried out."""
        found = self._virtual.get(node) if reuse else None
        if found is None:
            found = self._virtual[node] = Node(
                node.name, node.manifest, source=node, overrides=node.overrides
            )
        return found

    def _without_peers(self, edge: Edge) -> Node | None:
        """What an edge asks for, if it has no peers to agree with: most packages, and cheap."""
        self._tick()
        if self._member(edge.asked) is not None:
            return self._from_wanted(edge.asked, Node(edge.source.name, source=edge.source))
        found = self._fetch(edge.asked)
        if isinstance(found, Manifest) and any(each.kind in PEERS for each in found.wanted):
            return None
        self._virtual.pop(edge.source, None)  # a virtual root made now would hold this package alone
        return self._from_wanted(edge.asked, Node(edge.source.name, source=edge.source))

    def _from_edge(self, edge: Edge, parent: Node | None, second: Edge | None, required: set[Node]) -> Node:
        """What an edge asks for, in a virtual root with all its peers. `second` is a peer's requirement on
        the same name: a version that suits both is preferred."""
        self._tick()
        root = parent if parent is not None else self._virtual_root(edge.source)
        node = self._from_wanted(edge.asked, root)
        if second is not None and not second.valid:
            other = self._from_wanted(second.asked, root)
            if edge.valid:
                node = other
        node.attach(root)
        if (edge.source in required and not edge.peer_optional) or (
            second is not None and second.source in required and not second.peer_optional
        ):
            required.add(node)
        self._load_peers(node, required)
        return node

    def _from_wanted(self, wanted: Wanted, root: Node) -> Node:
        member = self._member(wanted)
        if member is not None:
            node = Node(wanted.name, member.manifest, link=member)
            node.attach(root)
            return node
        found = self._fetch(wanted)
        if isinstance(found, Failure):
            node = Node(wanted.name, failure=found)
        else:
            node = Node(wanted.name, found)
        node.attach(root)
        return node

    def _member(self, wanted: Wanted) -> Node | None:
        """The member of the project that a dependency is to be linked to."""
        members = self._root.members
        if not members:
            return None
        if wanted.kind == "workspace":
            return next(each for each in members if each.path == wanted.spec.wanted)
        edge = self._root.edges_out.get(wanted.name.lower())
        linked = None if edge is None or edge.wanted.kind != "workspace" else edge.target
        if linked is None or not linked.is_member_link or not Edge(_NOBODY, wanted).satisfied_by(linked):
            return None
        return linked.link

    def _load_peers(self, node: Node, required: set[Node]) -> None:
        """Bring all peers of a node, and theirs, into its virtual root."""
        lacking = [each for each in node.edges_out.values() if each.peer and not (each.valid and each.target)]
        for edge in sorted(lacking, key=lambda each: sort_key(each.name)):
            root = node.parent
            if root is None:  # replaced by a version that suits its peers
                return
            if edge.valid and edge.target is not None:
                continue
            source = root.source
            assert source is not None
            allowed = not source.is_own  # only the project's own requirements must not conflict
            requirement = root.edges_out.get(edge.key)
            if edge.target is None:
                if requirement is None:
                    if edge.peer_optional:
                        present = source.resolve(edge.key)
                        if present is None or present.satisfies(edge):
                            continue
                    self._from_edge(edge, root, None, required)
                    continue
                dep = self._from_edge(requirement, root, edge, required)
                if edge.valid:
                    continue
                if allowed or dep not in required or dep.failure is not None:
                    edge.conflicted = True
                    continue
                if node.parent is None:
                    return
                raise explain(edge, None)
            current = edge.target
            dep = self._from_edge(edge, None, None, required)
            if can_replace(dep, current):
                self._from_edge(edge, root, None, required)
            elif not (allowed or edge.source not in required or current.failure is not None):
                raise explain(edge, None)


def _present(root: Node, edge: Edge) -> Node | None:
    """A node below another that satisfies an optional peer, the shallowest: nothing new is brought in."""
    queue = list(root.children.values())
    for node in queue:
        if node.name == edge.name and not is_bundled(node) and node.satisfies(edge):
            return node
        queue.extend(node.children.values())
    return None
