"""`orchard statement`: what an Orchard states of a file, or of a version's files, verified."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from services.cli.errors import CommandFailed
from services.cli.files import check_place, write_whole
from services.cli.known_log import STATEMENTS, WHAT_NOW, key_of, sha256_of
from services.cli.output import Output, printable
from services.cli.server import Server, connect
from shared.tlog.dsse import DEPENDENCY, Statement, is_named, read_statement
from shared.tlog.trees import Unproven

_SHA256 = re.compile(r"(?:sha256:)?[0-9A-Fa-f]{64}")


def run(options: argparse.Namespace, output: Output) -> None:
    """Raises `CommandFailed` for a statement that is not this log's, or about something else."""
    if options.save:
        check_place(Path(options.save) / "statement.intoto.jsonl")
    server, of = connect(options), options.of
    is_file = not of.startswith("pkg:") and (Path(of).is_file() or _SHA256.fullmatch(of) is None)
    asked = sha256_of(of) if is_file else of
    lines = _ask(server, asked)
    try:
        key = key_of(server, options.key)
        named = [line for line in lines if is_named(line, key)]  # others may state it too
        found = [(line, read_statement(line, key, DEPENDENCY)) for line in named or lines]
        for _, statement in found:
            _check(statement, asked)
    except Unproven as error:
        raise CommandFailed(f"not proven: {error}", WHAT_NOW) from None
    if options.save:
        _save(Path(options.save), found)
    texts = [f"{_name(each.whole)}: {told(each.whole)}" for _, each in found]
    output.result({"statements": [each.whole for _, each in found]}, "\n".join(map(printable, texts)))


def told(whole: Mapping[str, Any]) -> str:
    """A statement of an admission, in a line."""
    predicate: Mapping[str, Any] = whole["predicate"]
    upstream, integrity = predicate.get("upstream", {}), predicate.get("integrity", {})
    compared = ", ".join(integrity.get("expected", ()))
    parts = [
        f"from {upstream.get('registry')} at {predicate.get('ingestion', {}).get('timestamp')}",
        f"integrity {integrity.get('result')}" + (f" by {compared}" if compared else ""),
        f"publisher's signature {predicate.get('publisherSignature', {}).get('result', 'unknown')}",
    ]
    if predicate.get("policyEvaluations"):
        parts.append(f"policy {predicate['policyEvaluations'][0]['result']}")
    return ", ".join(parts)


def _ask(server: Server, of: str) -> list[bytes]:
    answer = server.request("GET", STATEMENTS, query={"of": of})
    server.check(answer, offers="statements")
    return answer.body.splitlines()


def _check(statement: Statement, asked: str) -> None:
    """Of a digest: that it is about it. Raises `Unproven`."""
    if _SHA256.fullmatch(asked) and not statement.is_about("sha256", asked[-64:].lower()):
        raise Unproven("the statement is about another file")


def _name(whole: Mapping[str, Any]) -> str:
    return str(whole["subject"][0].get("name") or "?")


def _save(folder: Path, found: list[tuple[bytes, Statement]]) -> None:
    by_name: dict[str, list[bytes]] = {}
    for line, statement in found:
        name = Path(_name(statement.whole)).name or "statement"
        by_name.setdefault(name, []).append(line)
    for name, lines in by_name.items():
        write_whole(folder / f"{name}.intoto.jsonl", b"\n".join(lines) + b"\n")
