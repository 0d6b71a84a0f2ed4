"""Why no tree fits: who wants what, each with the chain that leads to it (npm's ERESOLVE)."""

from __future__ import annotations

from shared.errors import ResolutionConflict
from shared.protocols.npm.resolver.tree import Node
from shared.protocols.npm.resolver.tree_edges import Edge

_MOST_LINKS = 30


def explain(edge: Edge, node: Node | None) -> ResolutionConflict:
    """The error for a requirement that cannot be met beside what is there; `node` is what it would add."""
    lines = [f"no version satisfies all requirements on {edge.name}:", f"  {chain(edge)}"]
    there = edge.source.resolve(edge.key)
    blocked = None if there is not None or node is None else _blocked_peer(node, edge)
    if blocked is not None:
        there, requirement = blocked
        lines.append(f"  {chain(requirement)}")
    if there is not None:
        lines += [f"  {chain(each)}" for each in there.edges_in if each is not edge and each.valid][:5]
        lines.append(f"  {there.name}: chosen is {there.version or 'none'}")
    return ResolutionConflict("\n".join(lines))


def failed(node: Node) -> ResolutionConflict:
    """The error for a required package that cannot be had at all."""
    assert node.failure is not None
    edges = [each for each in node.edges_in if not each.optional] or list(node.edges_in)
    lines = [f"no version satisfies all requirements on {node.name}:"]
    lines += sorted({f"  {chain(each)}" for each in edges})[:5]
    return ResolutionConflict("\n".join([*lines, f"  {node.name}: {node.failure.reason}"]))


def chain(edge: Edge) -> str:
    """From the request to a requirement, along the first valid dependency that led to each."""
    links = [edge.wanted.text]
    if edge.asked is not edge.wanted:
        links[0] += f", overridden: {edge.asked.spec.text}"
    if edge.peer:
        links[0] += " (peer)"
    node: Node | None = edge.source
    seen: set[Node] = set()
    while node is not None and node not in seen and len(links) < _MOST_LINKS:
        seen.add(node)
        if node.source is not None:  # a virtual root stands for the node that it was made of
            node = node.source
            continue
        if node.parent is None:
            if node.above is not None:
                links.append(node.path)
            break
        links.append(f"{node.name} {node.version}".strip())
        node = next((each.source for each in node.edges_in if each.valid), None)
    return " -> ".join(["request", *reversed(links)])


def _blocked_peer(node: Node, edge: Edge) -> tuple[Node, Edge] | None:
    """A peer of the node that meets another version above the place where the node would go."""
    queue, seen = [node], {node}
    for each in queue:
        for requirement in each.edges_out.values():
            if not requirement.peer:
                continue
            there = edge.source.resolve(requirement.key)
            if there is not None and not there.satisfies(requirement):
                return there, requirement
            if requirement.target is not None and requirement.target not in seen:
                seen.add(requirement.target)
                queue.append(requirement.target)
    return None
