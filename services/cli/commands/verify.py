"""`orchard verify`: that files were admitted as the transparency log says, and that the log only grew; that
statements about them are this log's; and that all files of a sealed build were admitted. Locks are to be
verified by the same `KnownLog.check`."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

from services.cli.commands.build import stated
from services.cli.commands.statement import envelopes_about, told
from services.cli.errors import CommandFailed, WrongUse
from services.cli.files import write_whole
from services.cli.known_log import WHAT_NOW, KnownLog, read_bytes, sha256_of
from services.cli.output import Output, counted, printable
from services.cli.server import Server, connect
from shared.tlog.dsse import is_named, read_statement
from shared.tlog.notes import Checkpoint, Key, read_key
from shared.tlog.proofs import Proof, check_file, read_proof
from shared.tlog.trees import Unproven

_BUILD = re.compile(r"build-[a-z2-7]{32}")


def run(options: argparse.Namespace, output: Output) -> None:
    """Raises `CommandFailed` for the first file that is not proven."""
    try:
        found = _offline(options) if options.proof or options.statement else _online(options)
    except Unproven as error:
        raise CommandFailed(f"not proven: {error}", WHAT_NOW) from None
    output.result({"files": found}, "\n".join(map(_line, found)))


def _line(each: dict[str, Any]) -> str:
    if "build" in each:
        return f"build-{each['build']}: stated; {counted(each['files'], 'file')}, all in the log"
    parts = []
    if each.get("entry"):
        source = each["entry"].get("source", {})
        where = source.get("url") or source.get("name") or "an unknown source"
        parts.append(f"admitted {each['entry']['time']} from {where}")
    if each.get("statement"):
        parts.append(f"stated: {told(each['statement'])}")
    return printable(f"{each['file']}: {'; '.join(parts)}")


def _offline(options: argparse.Namespace) -> list[dict[str, Any]]:
    """One file by what was saved. Raises `Unproven` and `CommandFailed`."""
    if not options.key or len(options.files) != 1:
        raise WrongUse(
            "--proof and --statement are of one file, and need --key", "GET /api/v1/log tells the log's key."
        )
    name, key = options.files[0], read_key(options.key)
    sha256 = sha256_of(name)
    found: dict[str, Any] = {"file": name}
    if options.proof:
        proof = read_proof(read_bytes(Path(options.proof)))
        entry, checkpoint = check_file(sha256, proof, key)
        found |= _proven(entry, proof, checkpoint)
    if options.statement:
        lines = read_bytes(Path(options.statement)).splitlines()
        found["statement"] = _stated(lines, sha256, key)
        if found["statement"] is None:
            raise Unproven("there is no statement by this key")
    return [found]


def _online(options: argparse.Namespace) -> list[dict[str, Any]]:
    server = connect(options)
    log = KnownLog(server, options.key)
    found = []
    for name in options.files:
        if _BUILD.fullmatch(name) and not Path(name).exists():
            found.append(_build(server, log, name))
            continue
        sha256 = sha256_of(name)
        entry, proof, checkpoint = log.check(sha256)
        statement = _stated(envelopes_about(server, sha256), sha256, log.key)
        found.append({"file": name, **_proven(entry, proof, checkpoint), "statement": statement})
        if options.save:
            write_whole(Path(options.save) / f"{Path(name).name}.tlog-proof", log.last_proof)
    log.remember()
    return found


def _build(server: Server, log: KnownLog, name: str) -> dict[str, Any]:
    """A sealed build: that this log's key says what it got, and that all files of that were admitted."""
    id = name.removeprefix("build-")
    _, statement = stated(server, id, "provenance", str(log.key))
    inputs = statement.predicate["buildDefinition"]["resolvedDependencies"]
    files = [each for each in inputs if each.get("annotations", {}).get("orchard_kind") == "file"]
    for each in files:
        try:
            log.check(each["digest"]["sha256"])
        except (CommandFailed, Unproven) as error:
            raise Unproven(f"{each.get('name')}: {error}") from None
    return {"build": id, "files": len(files), "statement": dict(statement.whole)}


def _proven(entry: dict[str, Any], proof: Proof, checkpoint: Checkpoint) -> dict[str, Any]:
    return {"log": checkpoint.origin, "size": checkpoint.size, "index": proof.index, "entry": entry}


def _stated(lines: list[bytes], sha256: str, key: Key) -> dict[str, Any] | None:
    """The newest statement that names this key; None: there is none, as of a key before. Raises `Unproven`
    where one that names it is not signed by it, or is about something else."""
    found = [read_statement(each, key) for each in lines if is_named(each, key)]
    if not all(each.is_about("sha256", sha256) for each in found):
        raise Unproven("the statement is about another file")
    return dict(found[0].whole) if found else None
