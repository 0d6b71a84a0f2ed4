"""`orchard resolve`: the dependency graph of requirements or of a stored file, as a tree or as JSON."""

from __future__ import annotations

import argparse
import json
import re
from typing import Any

from services.cli.connect import connect
from services.cli.errors import CommandFailed, Exit, Unfinished, WrongUse
from services.cli.graph import draw
from services.cli.output import Output
from services.cli.progress import Progress
from services.cli.waiting import run_to_end

_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
OFFERS = "dependency graphs"


def run(options: argparse.Namespace, output: Output) -> Exit:
    """0 for a complete graph, 6 when something is missing for a passing cause."""
    artifacts = [each for each in options.requirements if _SHA256.fullmatch(each)]
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
        wanted = {
            "requirements": options.requirements,
            "protocol": options.protocol or "pypi",
            "max_depth": options.max_depth or 0,
            "include_optional": options.include_optional,
            "environment": options.environment,
            "as_of": options.as_of,
            "refresh": options.refresh,
        }
        body = json.dumps(wanted).encode()
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
        raise Unfinished("the graph lacks something for a passing cause", "Run the same command again.")
    return Exit.DONE
