"""Why no set of versions satisfies a request: who wants what, each with the chain that leads to it."""

from __future__ import annotations

from collections.abc import Sequence

from shared.errors import ResolutionConflict
from shared.protocols.maven.resolver.collect import Failure, GraphNode
from shared.protocols.maven.resolver.selection import Unsolvable

_MOST_LINES = 20
_MOST_LINKS = 30


def of_failures(failures: Sequence[Failure]) -> ResolutionConflict:
    """Dependencies for which there is no version at all."""
    lines: dict[str, None] = {}
    for failure in failures:
        chain = " -> ".join((*failure.path[-_MOST_LINKS:], failure.dependency.text))
        lines[f"  request -> {chain}: {failure.reason}"] = None
    names = sorted({failure.dependency.artifact.project for failure in failures})
    return _conflict(names, list(lines))


def of_rivals(error: Unsolvable, root: GraphNode) -> ResolutionConflict:
    """Hard requirements that exclude each other, and what else is required of the same artifact."""
    chains = _chains(root)
    lines: dict[str, None] = {}
    names: set[str] = set()
    for item in error.items:
        artifact = item.node.artifact
        assert artifact is not None
        names.add(artifact.project)
        chain = " -> ".join((*chains.get(id(item.siblings), ()), item.node.text))
        lines[f"  request -> {chain}"] = None
    return _conflict(sorted(names), sorted(lines))


def _conflict(names: list[str], lines: list[str]) -> ResolutionConflict:
    shown = lines[:_MOST_LINES]
    if len(lines) > len(shown):
        shown.append(f"  and {len(lines) - len(shown)} more")
    return ResolutionConflict(
        "\n".join([f"no version satisfies all requirements on {', '.join(names[:5])}:", *shown])
    )


def _chains(root: GraphNode) -> dict[int, tuple[str, ...]]:
    """By list of children the shortest way to it."""
    found: dict[int, tuple[str, ...]] = {}
    level: list[tuple[GraphNode, tuple[str, ...]]] = [(root, ())]
    while level:
        following = []
        for node, above in level:
            if id(node.children) in found:
                continue
            chain = above if node.artifact is None else (*above, str(node.artifact))
            found[id(node.children)] = chain
            if len(chain) < _MOST_LINKS:
                following += [(child, chain) for child in node.children]
        level = following
    return found
