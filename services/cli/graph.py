"""A dependency graph as a tree of lines; what was shown once is not unfolded again."""

from __future__ import annotations

from typing import Any

from services.cli.output import counted, printable

MAX_LINES = 20_000  # a graph of 5,000 nodes can have very many edges


def draw(graph: dict[str, Any]) -> str:
    """The tree, then what is unresolved, the cycles, and a count."""
    nodes = {str(each["purl"]): each for each in graph.get("nodes", [])}
    below: dict[str, list[tuple[str, str]]] = {}
    for edge in graph.get("edges", []):
        below.setdefault(str(edge["source"]), []).append(
            (str(edge["target"]), str(edge.get("requirement", "")))
        )
    roots = below.get("") or [(purl, "") for purl, each in nodes.items() if not each.get("depth")]
    lines: list[str] = []
    _walk(roots, nodes, below, lines)
    for each in graph.get("unresolved", []):
        wanted = f", wanted by {each['wanted_by']}" if each.get("wanted_by") else ""
        passing = " (passing)" if each.get("passing") else ""
        lines.append(
            f"unresolved: {each.get('requirement') or each.get('name')}{wanted}: {each['reason']}{passing}"
        )
    lines += [f"cycle: {' -> '.join(cycle)}" for cycle in graph.get("cycles", [])]
    stale = graph.get("stale", [])
    lines += [f"stale: the page of {each} could not be refreshed" for each in stale]
    if graph.get("truncated"):
        lines.append("truncated: what is further from the roots than --max-depth is left out")
    lines.append(counted(len(nodes), "package"))
    return printable("\n".join(lines))


def _walk(
    roots: list[tuple[str, str]],
    nodes: dict[str, Any],
    below: dict[str, list[tuple[str, str]]],
    lines: list[str],
) -> None:
    """Depth first with an own stack: a chain may be deeper than Python's calls go."""
    seen: set[str] = set()
    stack = [(purl, wish, "", "") for purl, wish in reversed(_unique(roots))]
    while stack:
        purl, wish, branch, indent = stack.pop()
        if len(lines) >= MAX_LINES:
            lines.append("… (the whole graph: --json)")
            return
        known = below.get(purl, [])
        repeated = purl in seen and bool(known)
        lines.append(
            f"{branch}{_label(purl, nodes)}{f'  ({wish})' if wish else ''}{' *' if repeated else ''}"
        )
        if purl in seen:
            continue
        seen.add(purl)
        children = _unique(known)
        for place, (child, child_wish) in reversed(list(enumerate(children))):
            last = place == len(children) - 1
            own = indent + ("└── " if last else "├── ")
            stack.append((child, child_wish, own, indent + ("    " if last else "│   ")))


def _label(purl: str, nodes: dict[str, Any]) -> str:
    node = nodes.get(purl)
    if node is None:
        return purl
    extras = node.get("extras") or []
    words = [f"{node['name']}{f'[{chr(44).join(extras)}]' if extras else ''} {node['version']}"]
    words += [str(node["scope"])] if node.get("scope") else []
    words += ["optional"] if node.get("optional") else []
    words += ["yanked"] if node.get("yanked") else []
    return " ".join(words)


def _unique(edges: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Each target once, with all its wishes."""
    wishes: dict[str, list[str]] = {}
    for target, wish in edges:
        known = wishes.setdefault(target, [])
        if wish and wish not in known:
            known.append(wish)
    return [(target, ", ".join(found)) for target, found in wishes.items()]
