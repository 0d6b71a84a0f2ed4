"""The tree of folders that npm installs into: nodes in one another's node_modules, and edges found by name.

A node finds what it depends on as Node.js does: in its own node_modules, then in its parent's, up to the
root. Every change keeps all edges true. Lists that npm walks in some order are kept in that order.
"""

from __future__ import annotations

from collections.abc import Iterator

from shared.protocols.npm.resolver.failure import Failure
from shared.protocols.npm.resolver.overrides import OverrideSet, more_specific
from shared.protocols.npm.resolver.picking import Manifest
from shared.protocols.npm.resolver.tree_edges import Edge
from shared.protocols.npm.shrinkwrap import InnerEntry

NOTHING = Manifest("", "")
_FETCHED = ("range", "version", "tag")
_FOLLOWED = (*_FETCHED, "member")


class Node:
    """A package in its folder, a root, or (`failure` set) what stands where a package could not be had."""

    __slots__ = (
        "above",
        "by_name",
        "children",
        "edges_by_name",
        "edges_in",
        "edges_out",
        "entry",
        "failure",
        "fixed",
        "inert",
        "key",
        "link",
        "manifest",
        "members",
        "name",
        "optional",
        "overrides",
        "parent",
        "path",
        "root",
        "source",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        manifest: Manifest = NOTHING,
        *,
        failure: Failure | None = None,
        source: Node | None = None,
        link: Node | None = None,
        overrides: OverrideSet | None = None,
        entry: InnerEntry | None = None,
    ) -> None:
        self.name = name
        self.key = name.lower()  # file systems that ignore case must hold the tree too
        self.manifest = manifest
        self.failure = failure
        self.source = source  # of a virtual root: the node whose dependencies are tried out in it
        self.link = link  # a symbolic link to a node above it, where nesting would have no end
        self.overrides = overrides  # the rule that it is under; None where the project has none
        self.entry = entry  # what the own lock of a package above says of it
        self.parent: Node | None = None
        self.above: Node | None = None  # of a member of the project: the folder around it
        self.members: list[Node] = []  # of the project's root
        self.root: Node = self
        self.path = ""
        self.children: dict[str, Node] = {}
        self.edges_in: dict[Edge, None] = {}
        self.edges_out: dict[str, Edge] = {}
        self.optional = True
        self.inert = False
        self.fixed = False  # it lies below a package that brings its own lock, and stays there
        # Of a root: its nodes and its edges by the name of what they look for.
        self.by_name: dict[str, dict[Node, None]] = {}
        self.edges_by_name: dict[str, dict[Edge, None]] = {}
        followed = (
            _FETCHED if source is not None else _FOLLOWED
        )  # where peers are tried out nothing is linked
        if link is None:
            for wanted in manifest.wanted:
                if wanted.spec.kind in followed:
                    self.edges_out[wanted.name.lower()] = Edge(self, wanted)
        for edge in self.edges_out.values():
            self.edges_by_name.setdefault(edge.key, {})[edge] = None

    def __repr__(self) -> str:
        return f"Node({self.path or '/'}: {self.manifest.name}@{self.version})"

    @property
    def version(self) -> str:
        return self.manifest.version

    @property
    def depth(self) -> int:
        node, found = self, 0
        while node.parent is not None:
            node, found = node.parent, found + 1
        return found

    @property
    def around(self) -> Node | None:
        """Where Node.js looks next."""
        return self.parent if self.parent is not None else self.above

    @property
    def is_own(self) -> bool:
        """Whether it is the project, or a member of it."""
        return self.root is self or self.above is not None

    @property
    def is_member_link(self) -> bool:
        """Whether it is the symbolic link to a member of the project."""
        return self.link is not None and self.link.above is not None

    @property
    def is_root(self) -> bool:
        return self.root is self

    def ancestry(self) -> Iterator[Node]:
        """This node, its parent, and so on."""
        node: Node | None = self
        while node is not None:
            yield node
            node = node.around

    def family(self) -> list[Node]:
        """This node and all nodes inside it."""
        found = [self]
        for node in found:
            found.extend(node.children.values())
        return found

    def is_within(self, other: Node) -> bool:
        """Whether this is the other node or inside it."""
        node: Node | None = self
        while node is not None:
            if node is other:
                return True
            node = node.around
        return False

    def resolve(self, key: str) -> Node | None:
        """What a `require` of this name finds from here."""
        node: Node | None = self
        while node is not None:
            found = node.children.get(key)
            if found is not None:
                return found
            node = node.around
        return None

    def satisfies(self, edge: Edge) -> bool:
        return self.name == edge.name and edge.satisfied_by(self)

    def matches(self, other: Node) -> bool:
        """Whether both are the same package under the same name."""
        if self is other:
            return True
        if self.name != other.name:
            return False
        if self.is_member_link or other.is_member_link:
            return self.link is other.link
        mine, theirs = self.manifest, other.manifest
        if mine.integrity and theirs.integrity:
            return mine.integrity == theirs.integrity
        return bool(mine.version) and (mine.name, mine.version) == (theirs.name, theirs.version)

    def whole(self) -> list[Node]:
        """All nodes of a root: its family, and its members with theirs."""
        return [*self.family(), *(node for member in self.members for node in member.family())]

    def admit(self, member: Node, path: str) -> None:
        """Take a member of the project in, at its folder below this root; the outer ones first."""
        inside = [each for each in self.members if path.startswith(f"{each.path}/")]
        member.above = inside[-1] if inside else self
        member.path, member.root = path, self
        self.members.append(member)
        for edge in member.edges_out.values():
            self.edges_by_name.setdefault(edge.key, {})[edge] = None

    # --- changes --------------------------------------------------------------------------------------

    def attach(self, parent: Node) -> None:
        """Put this node, with what is inside it, into a parent's node_modules; what was there goes."""
        if self.parent is parent:
            return
        if self.parent is not None:
            self.detach()
        there = parent.children.get(self.key)
        if there is not None:
            there.detach()
        root = parent.root
        self.parent = parent
        parent.children[self.key] = self
        family = self.family()
        for node in family:
            assert node.parent is not None
            folder = node.parent.path
            node.path = f"{folder}/node_modules/{node.name}" if folder else f"node_modules/{node.name}"
            node.root = root
            node.fixed = node.parent.fixed or node.parent.manifest.shrinkwrap
            root.by_name.setdefault(node.key, {})[node] = None
            for edge in node.edges_out.values():
                root.edges_by_name.setdefault(edge.key, {})[edge] = None
        for edge in root.edges_by_name.get(self.key, ()):
            if edge.target is not self and edge.source.is_within(parent):
                edge.reload()
        for node in family:
            for edge in node.edges_out.values():
                edge.reload()

    def detach(self) -> None:
        """Take this node, with what is inside it, out of its tree: it is a root by itself then."""
        parent, root = self.parent, self.root
        if parent is None:
            return
        if parent.children.get(self.key) is self:
            del parent.children[self.key]
        self.parent = None
        family = self.family()
        for node in family:
            node.root = self
            root.by_name.get(node.key, {}).pop(node, None)
            for edge in node.edges_out.values():
                root.edges_by_name.get(edge.key, {}).pop(edge, None)
        for node in family:
            for edge in node.edges_out.values():
                if edge.target is not None and edge.target.root is not self:
                    edge.set_target(None)
        for edge in list(self.edges_in):
            if edge.source.root is not self:
                edge.reload()

    def replace(self, old: Node) -> None:
        """Take the place of another node, and over what is inside it."""
        parent = old.parent
        assert parent is not None
        old.detach()
        for kid in old.children.values():
            kid.parent = self
            self.children[kid.key] = kid
        old.children = {}
        for edge in old.edges_out.values():  # they led to the children that are not its own any more
            edge.set_target(None)
        self.attach(parent)

    # --- overrides ------------------------------------------------------------------------------------

    @property
    def overridden(self) -> bool:
        """Whether a rule of the project names this version."""
        rule = self.overrides
        if rule is None or rule.parent is None or rule.name != self.name:
            return False
        return any(
            edge.overrides is not None
            and (edge.overrides.name, edge.overrides.text) == (self.name, self.version)
            and edge.overrides is not edge.source.overrides
            for edge in self.edges_in
        )

    def led_to_under(self, rule: OverrideSet | None) -> None:
        """A dependency that is under a rule leads here now: the inner one of both rules counts."""
        if rule is None or rule is self.overrides:
            return
        found = rule if self.overrides is None else more_specific(self.overrides, rule)
        if found is not None and found is not self.overrides:
            self._come_under(found)

    def left_by(self, rule: OverrideSet | None) -> None:
        """A dependency that is under a rule leads here no more."""
        if rule is None or rule is not self.overrides:
            return
        found: OverrideSet | None = None
        for edge in self.edges_in:
            if found is not None and edge.overrides is not None:
                found = more_specific(edge.overrides, found)
            else:
                found = edge.overrides
        if found is None:  # no edge leads here: it keeps what its own edges were made under
            self.overrides = None
        elif found is not self.overrides:
            self._come_under(found)

    def _come_under(self, rule: OverrideSet) -> None:
        self.overrides = rule
        for edge in self.edges_out.values():
            edge.reload()
            if edge.target is not None:
                edge.target.led_to_under(edge.overrides)
