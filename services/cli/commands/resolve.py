"""`orchard resolve`: the dependency graph of requirements or of a stored file, as a tree or as JSON.

In the tree, what was shown once is not unfolded again.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from services.cli.errors import CommandFailed, Exit, WrongUse, subject, unfinished
from services.cli.output import Output, counted, printable
from services.cli.server import connect
from services.cli.table import PROTOCOLS
from services.cli.waiting import Progress, run_to_end
from shared.digests import is_sha256

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
        by = f", wanted by {each['wanted_by']}" if each.get("wanted_by") else ""
        passing = " (passing)" if each.get("passing") else ""
        lines.append(f"unresolved: {subject(each)}{by}: {each['reason']}{passing}")
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
    stack = [(purl, requirement, "", "") for purl, requirement in reversed(_unique(roots))]
    while stack:
        purl, requirement, branch, indent = stack.pop()
        if len(lines) >= MAX_LINES:
            lines.append("… (the whole graph: --json)")
            return
        known = below.get(purl, [])
        repeated = purl in seen and bool(known)
        shown = f"  ({requirement})" if requirement else ""
        lines.append(f"{branch}{_label(purl, nodes)}{shown}{' *' if repeated else ''}")
        if purl in seen:
            continue
        seen.add(purl)
        children = _unique(known)
        for place, (child, wanted) in reversed(list(enumerate(children))):
            last = place == len(children) - 1
            own = indent + ("└── " if last else "├── ")
            stack.append((child, wanted, own, indent + ("    " if last else "│   ")))


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
    """Each target once, with all its requirements."""
    requirements: dict[str, list[str]] = {}
    for target, requirement in edges:
        known = requirements.setdefault(target, [])
        if requirement and requirement not in known:
            known.append(requirement)
    return [(target, ", ".join(found)) for target, found in requirements.items()]


OFFERS = "dependency graphs"


def run(options: argparse.Namespace, output: Output) -> Exit:
    """0 for a complete graph, 6 when something is missing for a passing cause."""
    artifacts = [each for each in options.requirements if is_sha256(each.lower())]
    if artifacts and len(options.requirements) > 1:
        raise WrongUse("a SHA256 stands alone: it names one stored file", "Ask for one after the other.")
    server = connect(options)
    body: bytes | None = None
    if artifacts:
        path = f"/api/v1/artifacts/{artifacts[0].lower()}/resolution"
        query = {
            "protocol": options.protocol,
            "max_depth": str(options.max_depth or ""),
            "include_optional": "true" if options.include_optional else "",
            "environment": options.environment,
            "as_of": options.as_of,
            "refresh": "true" if options.refresh else "",
        }
    else:
        path, query = "/api/v1/resolve", {}
        asked = {
            "requirements": options.requirements,
            "protocol": options.protocol or PROTOCOLS[0],
            "max_depth": options.max_depth or 0,
            "include_optional": options.include_optional,
            "environment": options.environment,
            "as_of": options.as_of,
            "refresh": options.refresh,
        }
        body = json.dumps(asked).encode()
    with Progress(quiet=output.quiet, lines=not output.as_json) as progress:
        answer = run_to_end(
            server,
            path,
            query=query,
            body=body,
            admin=options.refresh,
            offers=OFFERS,
            show=progress.show,
            timeout_seconds=options.timeout,
            again="The same command asks for it again.",
        )
    return _show(answer, output)


def _show(body: bytes, output: Output) -> Exit:
    try:
        graph: Any = json.loads(body)
    except ValueError:
        graph = None
    if not isinstance(graph, dict) or "nodes" not in graph:
        raise CommandFailed(
            "the server's answer is no dependency graph", "`orchard status` shows its version."
        )
    if output.as_json:
        output.write(body if body.endswith(b"\n") else body + b"\n")
    else:
        output.result(None, draw(graph))
    if not graph.get("complete", True):
        raise unfinished("the graph", (each for each in graph.get("unresolved", ()) if each.get("passing")))
    return Exit.DONE
