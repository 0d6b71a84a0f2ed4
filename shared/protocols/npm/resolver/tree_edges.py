"""Declared dependencies in a tree: what they ask for, under which rule of the project, and whether what they
find will do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from shared.errors import ResolutionConflict
from shared.protocols.npm.resolver.overrides import OverrideSet, in_conflict
from shared.protocols.npm.resolver.picking import PEERS, Wanted
from shared.protocols.npm.resolver.specs import Spec, read_spec
from shared.protocols.npm.semver_ranges import satisfies

if TYPE_CHECKING:
    from shared.protocols.npm.resolver.tree import Node


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
        if self.wanted.kind == "workspace":
            return node.link is not None and node.link.path == spec.wanted
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
    return (
        spec.kind == "tag" and bool(node.version) and not node.is_member_link
    )  # npm looks no closer at tags
