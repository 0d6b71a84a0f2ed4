"""Marks the optional nodes of a finished tree, and those of them that stay uninstalled (npm's flags, inert
nodes)."""

from __future__ import annotations

from collections.abc import Iterable

from shared.errors import ResolutionConflict
from shared.protocols.npm.resolver.environments import Environment, allows_engine, allows_platform
from shared.protocols.npm.resolver.tree import Node
from shared.protocols.npm.resolver.tree_conflicts import chain, failed
from shared.protocols.npm.resolver.tree_sets import gather


def mark_optional(root: Node) -> None:
    """Clear `optional` of all that some chain of required dependencies leads to."""
    root.optional = False
    queue = [root]
    for node in queue:
        targets = [edge.target for edge in node.edges_out.values() if not edge.optional]
        for target in [*targets, node.link]:
            if target is not None and target.optional:
                target.optional = False
                queue.append(target)


def mark_inert(root: Node, environment: Environment) -> None:
    """Mark optional sets of which a part cannot be had, or does not suit the environment.

    Raises `ResolutionConflict` for a required part, unless it cannot be had for a passing cause.
    """
    nodes = [node for node in root.whole() if not node.is_own]
    for node in nodes:
        if node.failure is not None:
            if node.optional:
                _mark(_optional_set(node))
            elif not node.failure.passing:
                raise failed(node)
    for node in nodes:
        manifest = node.manifest
        if node.failure is not None or node.link is not None:
            continue
        suits = allows_platform(manifest.system, manifest.processor, manifest.libc, environment)
        if not node.optional:
            if not suits:
                chains = sorted({chain(edge) for edge in node.edges_in})
                raise ResolutionConflict(
                    "\n".join(
                        [f"{node.name} {node.version} is not for {environment.name}:"]
                        + [f"  {each}" for each in chains[:5]]
                    )
                )
        elif not node.inert and not (suits and allows_engine(manifest.engines, environment)):
            _mark(_optional_set(node))


def _mark(nodes: Iterable[Node]) -> None:
    for node in nodes:
        node.inert = True


def _optional_set(node: Node) -> dict[Node, None]:
    """The part of the tree that goes when an optional dependency fails: up to the optional edges that
    lead into it, and down to what others need too."""
    found = {node: None}
    queue = [node]
    for each in queue:
        for edge in each.edges_in:
            if not edge.optional and edge.source not in found:
                found[edge.source] = None
                queue.append(edge.source)
    start = dict(found)
    return gather(start, lambda edge: edge.target not in start and not edge.source.inert)
