"""`orchard verify`: that files were admitted as the transparency log says, and that the log only grew; that
statements about them are this log's; and that all files of a lock, or of a sealed build, were admitted."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

from services.cli.commands.build import stated
from services.cli.commands.statement import envelopes_about, told
from services.cli.errors import CommandFailed, Differs, Unfinished, WrongUse
from services.cli.files import read_input, write_whole
from services.cli.known_log import WHAT_NOW, ImportedLog, KnownLog, log_of, read_bytes, sha256_of
from services.cli.locks import FILE, check_lock, kind_of
from services.cli.output import Output, counted, printable
from services.cli.server import Server, connect
from shared.tlog.dsse import is_named, read_statement
from shared.tlog.notes import Checkpoint, Key, read_key
from shared.tlog.proofs import Proof, check_file, read_proof
from shared.tlog.trees import Unproven

_BUILD = re.compile(r"build-[a-z2-7]{32}")
_LOCK_BYTES = 16 * 1024 * 1024
_MOST_SHOWN = 20
_SAID = {
    "differs": "other bytes are stored here under its name",
    "absent": "it was not admitted here",
    "unlogged": "it is stored here and not in the log (yet)",
    "unverified": "the lock tells no digest that the log has",
}


def run(options: argparse.Namespace, output: Output) -> None:
    """Raises `CommandFailed` for the first file that is not proven; of locks, once all of it is shown,
    `Differs` where some differ, `Unfinished` where some are only not in the log yet."""
    try:
        found = _offline(options) if options.proof or options.statement else _online(options)
    except Unproven as error:
        raise CommandFailed(f"not proven: {error}", WHAT_NOW) from None
    output.result({"files": found}, "\n".join(map(_line, found)))
    results = [file["result"] for each in found if "lock" in each for file in each["files"]]
    left = [each for each in results if each != "proven"]
    if left:
        kind = Unfinished if set(left) == {"unlogged"} else Differs
        raise kind(
            f"{len(left)} of {counted(len(results), 'file')} of locks are not proven",
            "`orchard ensure LOCK` has them admitted, or says why not.",
        )


def _line(each: dict[str, Any]) -> str:
    if "lock" in each:
        return _lock_lines(each)
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


def _lock_lines(each: dict[str, Any]) -> str:
    files = each["files"]
    proven = [file for file in files if file["result"] == "proven"]
    by_name = sum(not file["compared"] for file in proven)
    stated = sum(all(one["statement"] for one in file["admitted"]) for file in proven)
    parts = [f"{len(proven)} of {counted(len(files), 'file')} admitted and in the log", f"{stated} stated"]
    if by_name:
        parts.append(f"{by_name} by name alone: the lock has no digest of them")
    lines = [f"{each['file']}: {', '.join(parts)}"]
    for file in files:
        if file["result"] != "proven":
            version = f" {file['version']}" if "version" in file else ""
            name = f" ({file['file']})" if file.get("file") else ""
            lines.append(f"  - {file['name']}{version}{name}: {_SAID.get(file['result']) or file['reason']}")
    more = len(lines) - 1 - _MOST_SHOWN
    if more > 0:
        lines[_MOST_SHOWN + 1 :] = [f"  … and {more} more"]
    return printable("\n".join(lines))


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
    log = log_of(server, options.key)
    found = []
    for name in options.files:
        if _BUILD.fullmatch(name) and not Path(name).exists():
            found.append(_build(server, log, name))
            continue
        kind = options.kind or kind_of(Path(name))
        if kind != FILE:
            data = read_input(name, "A lock", _LOCK_BYTES)
            found.append(check_lock(server, name, kind, data, lambda sha256: _checked(server, log, sha256)))
            continue
        found.append({"file": name, **_checked(server, log, sha256_of(name))})
        if options.save:
            write_whole(Path(options.save) / f"{Path(name).name}.tlog-proof", log.last_proof)
    log.remember()
    return found


def _checked(server: Server, log: KnownLog | ImportedLog, sha256: str) -> dict[str, Any]:
    """What the log and statements say of a file. Raises `Unproven`, and what the server's errors mean."""
    proven = _proven(*log.check(sha256))
    return {**proven, "statement": _stated(envelopes_about(server, sha256), sha256, log.key)}


def _build(server: Server, log: KnownLog | ImportedLog, name: str) -> dict[str, Any]:
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
