"""The whole graph of a request, with every version that is required: Maven's first pass.

As maven-resolver 1.6 collects (DefaultDependencyCollector): depth first, in the order of declaration.
Scopes test and provided are not followed below the roots, nor are optional dependencies; exclusions
add up on the way down. The root's own management decides from the second level on
(ClassicDependencyManager). Equal artifacts under equal circumstances share their children. A range gives
a child for each version that it allows. Which of all these stay, `mediation.py` decides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from shared.errors import ResolutionTooLarge
from shared.protocols.maven.coordinates import Artifact, ConflictKey, make_artifact
from shared.protocols.maven.model import RawDependency
from shared.protocols.maven.resolver.descriptors import MAX_RELOCATIONS, Dependency, Descriptor, Descriptors
from shared.protocols.maven.resolver.ranges import BadRange, exact, is_range, parse_ranges

MAX_GRAPH = 60_000  # children in all lists together
MAX_RANGE_VERSIONS = 100  # of one range the newest so many are looked at
_CHECK_EVERY = 256

Exclusions = frozenset[tuple[str, str]]


class GraphNode:
    """One occurrence of an artifact. `children` may be shared with other nodes, and is pruned later."""

    __slots__ = (
        "artifact",
        "children",
        "constraint",
        "descriptor",
        "key",
        "keys",
        "managed_optional",
        "managed_scope",
        "optional",
        "scope",
        "text",
    )

    def __init__(self, artifact: Artifact | None, scope: str = "", optional: bool = False) -> None:
        self.artifact = artifact
        self.scope = scope
        self.optional = optional
        self.constraint = ""  # the hard requirement that it came by, if any
        self.text = ""
        self.descriptor: Descriptor | None = None
        self.managed_scope = False
        self.managed_optional = False
        self.children: list[GraphNode] = []
        self.key: ConflictKey = ("", "", "", "") if artifact is None else artifact.key
        self.keys: tuple[ConflictKey, ...] = (self.key,)  # with those that it was relocated from


class Managed(msgspec.Struct, frozen=True):
    """The root's dependency management for one conflict key; "" and None: not managed."""

    version: str = ""
    scope: str = ""
    optional: bool | None = None
    exclusions: tuple[str, ...] = ()


class Failure(msgspec.Struct, frozen=True):
    """A dependency for which no version can be had."""

    path: tuple[str, ...]
    dependency: Dependency
    reason: str
    passing: bool


class _Frame(msgspec.Struct):
    node: GraphNode
    dependencies: Sequence[Dependency]
    exclusions: Exclusions
    level: int  # of the dependencies: 1 for those of the root


def management_of(managed: Iterable[RawDependency]) -> dict[ConflictKey, Managed]:
    """A dependency management by conflict key: of each field the first entry counts, exclusions add up."""
    found: dict[ConflictKey, Managed] = {}
    for raw in managed:
        key = make_artifact(raw.group, raw.artifact, "", raw.type, raw.classifier).key
        before = found.get(key, Managed())
        optional = before.optional
        if optional is None and raw.optional:
            optional = raw.optional == "true"
        found[key] = Managed(
            version=before.version or raw.version,
            scope=before.scope or raw.scope,
            optional=optional,
            exclusions=tuple(dict.fromkeys((*before.exclusions, *raw.exclusions))),
        )
    return found


class Collector:
    """One run. `root` without an artifact stands for a project that has only the dependencies."""

    def __init__(
        self,
        descriptors: Descriptors,
        *,
        management: dict[ConflictKey, Managed],
        optional_levels: frozenset[int],
        transitive: bool,
        give_up: Callable[[], bool],
    ) -> None:
        """`optional_levels`: where optional dependencies are followed. `transitive`: the dependencies of the
        root are those of an artifact, not of a project: neither test nor provided."""
        self._descriptors = descriptors
        self._management = management
        self._optional_levels = optional_levels
        self._transitive = transitive
        self._deepest = max(optional_levels, default=1) + 1  # from here on all levels are alike
        self._give_up = give_up
        self._shared: dict[tuple[Artifact, Exclusions, int], list[GraphNode]] = {}
        self._path: list[GraphNode] = []
        self._on_path: dict[ConflictKey, GraphNode] = {}
        self._count = 0
        self.failures: list[Failure] = []

    def collect(self, root: GraphNode, dependencies: Sequence[Dependency]) -> None:
        """Fill the children of `root`. Raises `ResolutionTooLarge`."""
        self._enter(root)
        stack = [self._process(_Frame(root, dependencies, frozenset(), 1))]
        while stack:
            below = next(stack[-1], None)
            if below is None:
                stack.pop()
                self._leave()
            else:
                self._enter(below.node)
                stack.append(self._process(below))

    def _enter(self, node: GraphNode) -> None:
        self._path.append(node)
        if node.artifact is not None:
            self._on_path[node.key] = node

    def _leave(self) -> None:
        node = self._path.pop()
        self._on_path.pop(node.key, None)

    def _process(self, frame: _Frame) -> Iterator[_Frame]:
        for dependency in frame.dependencies:
            if self._selected(dependency, frame):
                yield from self._follow(frame, dependency, ())

    def _selected(self, dependency: Dependency, frame: _Frame) -> bool:
        if (self._transitive or frame.level > 1) and dependency.scope in ("test", "provided"):
            return False
        if dependency.optional and frame.level not in self._optional_levels:
            return False
        if not frame.exclusions:
            return True
        group, artifact = dependency.artifact.group, dependency.artifact.artifact
        return frame.exclusions.isdisjoint(((group, artifact), (group, "*"), ("*", artifact), ("*", "*")))

    def _follow(
        self,
        frame: _Frame,
        dependency: Dependency,
        relocated: tuple[Artifact, ...],
        *,
        version_managed: bool = True,
    ) -> Iterator[_Frame]:
        managed = self._management.get(dependency.artifact.key)
        managed_scope = managed_optional = False
        if managed is not None:
            artifact, scope, optional = dependency.artifact, dependency.scope, dependency.optional
            if frame.level > 1:
                if managed.version and version_managed:
                    artifact = msgspec.structs.replace(artifact, version=managed.version)
                managed_scope, managed_optional = bool(managed.scope), managed.optional is not None
                scope = managed.scope or scope
                optional = optional if managed.optional is None else managed.optional
            exclusions = tuple(dict.fromkeys((*dependency.exclusions, *managed.exclusions)))
            dependency = Dependency(artifact, scope, optional, exclusions, dependency.text)
        for version in self._versions(dependency):
            artifact = msgspec.structs.replace(dependency.artifact, version=version)
            descriptor = self._descriptors.of(artifact, system=dependency.scope == "system")
            artifact = descriptor.artifact
            if descriptor.relocated:
                # The relocation's target is a dependency of its own, to be managed by its own name.
                same = dependency.artifact.project == artifact.project
                again = msgspec.structs.replace(dependency, artifact=artifact)
                if self._selected(again, frame) and len(relocated) < MAX_RELOCATIONS:
                    trail = (*relocated, *descriptor.relocated)
                    yield from self._follow(frame, again, trail, version_managed=not same)
                return
            child = GraphNode(artifact, dependency.scope, dependency.optional)
            child.managed_scope, child.managed_optional = managed_scope, managed_optional
            child.constraint = dependency.artifact.version if is_range(dependency.artifact.version) else ""
            child.text, child.descriptor = dependency.text, descriptor
            child.keys = tuple(dict.fromkeys((child.key, *(one.key for one in relocated))))
            self._add(frame.node, child)
            ancestor = self._on_path.get(child.key)
            if ancestor is not None:
                # Another version of what leads here loses in any case: no need to look below it.
                child.children = ancestor.children
                continue
            if artifact.is_fat or not descriptor.dependencies:
                continue
            exclusions_below = frame.exclusions | {_pair(text) for text in dependency.exclusions}
            level = min(frame.level + 1, max(2, self._deepest))
            circumstances = (artifact, exclusions_below, level)
            shared = self._shared.get(circumstances)
            if shared is not None:
                child.children = shared
                continue
            self._shared[circumstances] = child.children
            yield _Frame(child, descriptor.dependencies, exclusions_below, level)

    def _add(self, parent: GraphNode, child: GraphNode) -> None:
        parent.children.append(child)
        self._count += 1
        if self._count > MAX_GRAPH:
            raise ResolutionTooLarge(f"the graph has more than {MAX_GRAPH} edges before versions are chosen")
        if self._count % _CHECK_EVERY == 0 and self._give_up():
            raise ResolutionTooLarge("collecting the graph took too long")

    def _versions(self, dependency: Dependency) -> list[str]:
        """All versions to look at, in ascending order: one, unless the requirement is a range."""
        text = dependency.artifact.version
        try:
            if not is_range(text):
                return [self._descriptors.version(dependency.artifact)]
            only = exact(text)
            if only:
                return [only]
            parse_ranges(text)
        except BadRange as error:
            self._fail(dependency, str(error), passing=False)
            return []
        found = self._descriptors.versions_in(dependency.artifact)
        if isinstance(found, list):
            if not found:
                self._fail(dependency, "no source has a version in this range", passing=False)
            return found[-MAX_RANGE_VERSIONS:]
        if not found.pending:
            self._fail(dependency, found.reason, passing=found.passing)
        return []

    def _fail(self, dependency: Dependency, reason: str, *, passing: bool) -> None:
        path = tuple(str(node.artifact) for node in self._path if node.artifact is not None)
        self.failures.append(Failure(path, dependency, reason, passing))


def _pair(text: str) -> tuple[str, str]:
    group, _, artifact = text.partition(":")
    return group or "*", artifact or "*"
