"""The tree of folders that npm installs into: nodes in one another's node_modules, and edges found by name.

A node finds what it depends on as Node.js does: in its own node_modules, then in its parent's, up to the
root. Every change keeps all edges true. Lists that npm walks in some order are kept in that order.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from shared.errors import ResolutionConflict
from shared.protocols.npm.resolver.failure import Failure
from shared.protocols.npm.resolver.overrides import OverrideSet, in_conflict, more_specific
from shared.protocols.npm.resolver.picking import PEERS, Manifest, Wanted
from shared.protocols.npm.resolver.specs import Spec, read_spec
from shared.protocols.npm.semver_ranges import satisfies
from shared.protocols.npm.shrinkwrap import InnerEntry

NOTHING = Manifest("", "")


class Node:
    """A package in its folder, a root, or (`failure` set) what stands where a package could not be had."""

    __slots__ = (
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
        if link is None:
            for wanted in manifest.wanted:
                if wanted.spec.kind in ("range", "version", "tag"):
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
        return sum(1 for _ in self.ancestry()) - 1

    @property
    def is_root(self) -> bool:
        return self.root is self

    def ancestry(self) -> Iterator[Node]:
        """This node, its parent, and so on."""
        node: Node | None = self
        while node is not None:
            yield node
            node = node.parent

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
            node = node.parent
        return False

    def resolve(self, key: str) -> Node | None:
        """What a `require` of this name finds from here."""
        node: Node | None = self
        while node is not None:
            found = node.children.get(key)
            if found is not None:
                return found
            node = node.parent
        return None

    def satisfies(self, edge: Edge) -> bool:
        return self.name == edge.name and edge.satisfied_by(self)

    def matches(self, other: Node) -> bool:
        """Whether both are the same package under the same name."""
        if self is other:
            return True
        if self.name != other.name:
            return False
        mine, theirs = self.manifest, other.manifest
        if mine.integrity and theirs.integrity:
            return mine.integrity == theirs.integrity
        return bool(mine.version) and (mine.name, mine.version) == (theirs.name, theirs.version)

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


class Edge:
    """A declared dependency in a tree. `target` is what its source finds under the name."""

    __slots__ = (
        "_asked",
        "_valid",
        "conflicted",
        "key",
        "name",
        "optional",
        "overrides",
        "peer",
        "source",
        "target",
        "wanted",
    )  # fmt: skip

    def __init__(self, source: Node, wanted: Wanted) -> None:
        self.source = source
        self.wanted = wanted
        self.name = wanted.name
        self.key = wanted.name.lower()
        self.peer = wanted.kind in PEERS
        self.optional = wanted.kind in ("optional", "peerOptional")
        self.target: Node | None = None
        self.conflicted = False  # a peer that is left unsatisfied, knowingly
        self._valid: bool | None = None
        self._asked = wanted
        self.overrides: OverrideSet | None = None  # the rule that it is under
        if source.overrides is not None:
            self._come_under(source.overrides.rule_of(self.name, wanted.spec))

    def __repr__(self) -> str:
        return f"Edge({self.source!r} {self.wanted.kind} {self.wanted.text})"

    @property
    def asked(self) -> Wanted:
        """What it asks for: what is declared, unless a rule of the project replaces that. Raises
        `ResolutionConflict`."""
        if self.overrides is not None and self._asked is not self.wanted and self.overrides.reference:
            return msgspec.structs.replace(self.wanted, spec=self._referred(self.overrides.reference))
        return self._asked

    def _referred(self, name: str) -> Spec:
        """What the root asks for under a name. Where peers are tried out that is the package that brings
        them, and what does not stand there is looked for in the dependent itself: npm does so."""
        above = self.source if self.source.source is None else self.source.source
        for manifest in (above.root.manifest, self.source.manifest):
            for wanted in manifest.wanted:
                if wanted.name == name:
                    return read_spec(self.name, wanted.spec.text)
        raise ResolutionConflict(
            f"an override asks for ${name}, which npm cannot tell for {self.wanted.text} of"
            f" {self.source.manifest.name}: write the version instead"
        )

    @property
    def peer_optional(self) -> bool:
        return self.peer and self.optional

    @property
    def valid(self) -> bool:
        """Whether the target is there and as wanted; a missing optional one is in order."""
        found = self._valid
        if found is None:
            found = self._valid = self._judge()
        return found

    def _judge(self) -> bool:
        target, source = self.target, self.source
        if target is None:
            return self.optional
        if self.peer and source is target.parent and source.parent is not None:
            return False  # a peer inside its dependent is no peer
        if not self.satisfied_by(target):
            return False
        if self.overrides is None or target.overrides is None or not target.edges_out:
            return True
        return not in_conflict(self.overrides, target.overrides)

    def satisfied_by(self, node: Node) -> bool:
        """Whether a node of this name is what the dependency asks for."""
        if node.name != self.name:
            return False
        if node.manifest.shrinkwrap or node.fixed:  # no rule of the project reaches there
            return self._suits(node, self.wanted.spec)
        asked = self.asked
        if self._suits(node, asked.spec):
            return True
        if asked is self.wanted or not self._suits(node, self.wanted.spec):
            return False
        # As declared, but not as the rule says: in order for versions that the rule is not for.
        assert self.overrides is not None and self.overrides.key_spec is not None
        return not self._suits(node, self.overrides.key_spec)

    def _suits(self, node: Node, spec: Spec) -> bool:
        accepted = self.wanted.accepted
        return _fits(node, spec) or (accepted is not None and _fits(node, accepted))

    def _come_under(self, rule: OverrideSet | None) -> None:
        self.overrides = rule
        self._asked = self.wanted
        if rule is not None and rule.spec is not None and rule.name == self.name:
            self._asked = msgspec.structs.replace(self.wanted, spec=rule.spec)

    def reload(self) -> None:
        """Look the target up again, and the rule."""
        around = self.source.overrides
        rule = None if around is None else around.rule_of(self.name, self.wanted.spec)
        if rule is not self.overrides:
            self._come_under(rule)
        self.set_target(self.source.resolve(self.key))

    def set_target(self, target: Node | None) -> None:
        if target is not self.target:
            left, self.target = self.target, target
            if left is not None:
                left.edges_in.pop(self, None)
                left.left_by(self.overrides)
            if target is not None:
                target.led_to_under(self.overrides)
                target.edges_in[self] = None
        self._valid = None


def _fits(node: Node, spec: Spec) -> bool:
    if spec.kind == "range" and spec.wanted == "*":
        return True
    if spec.kind in ("range", "version"):
        return satisfies(node.version, spec.wanted)
    return spec.kind == "tag" and bool(node.version)  # npm looks no closer at tags
