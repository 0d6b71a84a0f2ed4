"""`orchard verify`: that files were admitted as the transparency log says, and that the log only grew; that
statements about them are this log's; and that all files of a lock, or of a sealed build, were admitted. With
`--bundle` a bundle's log and statements are asked in place of an Orchard."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from services.cli.bundle_log import BundleLog
from services.cli.commands.build import stated
from services.cli.commands.statement import told
from services.cli.errors import CommandFailed, Differs, Unfinished, WrongUse
from services.cli.files import check_place, read_input, write_whole
from services.cli.known_log import WHAT_NOW, ImportedLog, KnownLog, log_of, read_bytes, sha256_of
from services.cli.locks import FILE, NAME, Locked, check_lock, kind_of, locked_at
from services.cli.output import Output, counted, printable
from services.cli.server import Server, connect
from shared.tlog.dsse import Statement, statement_about, statements_about
from shared.tlog.notes import Checkpoint, Key, read_key
from shared.tlog.proofs import Proof, check_file, read_proof
from shared.tlog.trees import Unproven

_BUILD = re.compile(r"build-([a-z2-7]{32})|lock-([0-9a-f]{64})")
_LOCK_BYTES = 16 * 1024 * 1024
_MOST_SHOWN = 20
_SAID = {
    "differs": "other bytes are stored {where} under its name",
    "absent": "it was not admitted {where}",
    "unlogged": "it is stored {where} and not in the log (yet)",
    "unverified": "the lock tells no digest that the log has",
    "named": "it is in the log by name alone: the lock has no digest of it",
    "misnamed": "the log has these bytes under another name",
}
_NEED_KEY = "GET /api/v1/log tells the log's key."

Log = KnownLog | ImportedLog | BundleLog


def run(options: argparse.Namespace, output: Output) -> None:
    """Raises `CommandFailed` for the first file that is not proven; of locks, once all of it is shown,
    `Differs` where some differ, `Unfinished` where some are only not in the log yet."""
    _check_targets(options)
    try:
        found = _saved(options) if options.proof or options.statement else _asked(options)
    except Unproven as error:
        raise CommandFailed(f"not proven: {error}", WHAT_NOW) from None
    output.result({"files": found}, "\n".join(map(_line, found)))
    results = [file["result"] for each in found if "lock" in each for file in each["files"]]
    left = [each for each in results if each != "proven"]
    if left:
        kind = Unfinished if set(left) == {"unlogged"} else Differs
        raise kind(
            f"{len(left)} of {counted(len(results), 'file')} of locks are not proven",
            "A bundle of the lock has all of it: `orchard bundle lock-KEY`."
            if options.bundle
            else "`orchard ensure LOCK` has them admitted, or says why not.",
        )


def _line(each: dict[str, Any]) -> str:
    if "lock" in each:
        return _lock_lines(each)
    if "objects" in each:
        files = f"{counted(each['files'], 'file')}, all in the log, {each['stated']} stated"
        objects = f"{counted(each['objects'], 'object')}, {each['left_out']} left out"
        return f"{each['build']}: {files}; {objects}"
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
    stated = sum(all(one["statement"] for one in file["admitted"]) for file in proven)
    parts = [f"{len(proven)} of {counted(len(files), 'file')} admitted and in the log", f"{stated} stated"]
    lines = [f"{each['file']}: {', '.join(parts)}"]
    for file in files:
        if file["result"] != "proven":
            version = f" {file['version']}" if "version" in file else ""
            name = f" ({file['file']})" if file.get("file") else ""
            said = _SAID.get(file["result"], "").format(where="in the bundle" if each["bundle"] else "here")
            lines.append(f"  - {file['name']}{version}{name}: {said or file['reason']}")
    more = len(lines) - 1 - _MOST_SHOWN
    if more > 0:
        lines[_MOST_SHOWN + 1 :] = [f"  … and {more} more"]
    return printable("\n".join(lines))


def _saved(options: argparse.Namespace) -> list[dict[str, Any]]:
    """One file by what was saved. Raises `Unproven` and `CommandFailed`."""
    if not options.key or options.bundle or len(options.files) != 1:
        raise WrongUse("--proof and --statement are of one file, and need --key alone", _NEED_KEY)
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


def _asked(options: argparse.Namespace) -> list[dict[str, Any]]:
    """By what a bundle has, or what an Orchard tells. Raises as `run`."""
    if options.bundle:
        if not options.key:
            raise WrongUse(
                "--bundle needs --key: a bundle names a key itself, which proves nothing", _NEED_KEY
            )
        bundle = BundleLog(options.bundle, read_key(options.key))
        return _found(options, bundle, bundle.locked, lambda _, id: bundle.whole(id))
    server = connect(options)
    log = log_of(server, options.key)

    def build(name: str, id: str) -> dict[str, Any]:
        if not name.startswith("build-"):
            raise WrongUse(f"{name}: without --bundle, name the lock's file itself")
        return _build(server, log, id)

    found = _found(options, log, locked_at(server), build)
    log.remember()
    return found


def _found(
    options: argparse.Namespace, log: Log, locked: Locked, build: Callable[[str, str], dict[str, Any]]
) -> list[dict[str, Any]]:
    found = []
    for name in options.files:
        named = _BUILD.fullmatch(name)
        if named and not Path(name).exists():
            found.append(build(name, named[1] or named[2]))
            continue
        kind = options.kind or kind_of(Path(name))
        if kind != FILE:
            data = read_input(name, "A lock", _LOCK_BYTES)
            told = check_lock(locked, name, kind, data, lambda sha256: _checked(log, sha256))
            found.append({**told, "bundle": options.bundle})
            continue
        found.append({"file": name, **_checked(log, sha256_of(name))})
        if options.save:
            write_whole(Path(options.save) / f"{Path(name).name}.tlog-proof", log.last_proof)
    return found


def _check_targets(options: argparse.Namespace) -> None:
    """Raises `WrongUse` where two proofs would be one file, `CommandFailed` where none can be put."""
    names = [Path(each).name for each in options.files if not _BUILD.fullmatch(each)]
    double = next((each for each in names if names.count(each) > 1), None)
    if options.save and double is not None:
        raise WrongUse(f"--save: the proofs of two files named {double} would be one file")
    for each in names if options.save else ():
        check_place(Path(options.save) / f"{each}.tlog-proof")


def _checked(log: Log, sha256: str) -> dict[str, Any]:
    """What the log and statements say of a file. Raises `Unproven`, and what the server's errors mean."""
    proven = _proven(*log.check(sha256))
    found = statements_about(log.envelopes(sha256), sha256, log.key)
    return {
        **proven,
        "statement": dict(found[0].whole) if found else None,
        "stated_names": [name for each in found if (name := _name_in(each))],
    }


def _name_in(statement: Statement) -> dict[str, str]:
    """Of which protocol, project and file it states the admission; none where it does not tell."""
    upstream, subject = statement.predicate.get("upstream"), statement.whole["subject"][0]
    project = upstream.get("name") if isinstance(upstream, dict) else None
    found = (statement.predicate.get("orchard_protocol"), project, subject.get("name"))
    return dict(zip(NAME, map(str, found), strict=True)) if all(found) else {}


def _build(server: Server, log: KnownLog | ImportedLog, id: str) -> dict[str, Any]:
    """A sealed build: that this log's key says what it got, and that all files of that were admitted."""
    _, statement = stated(server, id, "provenance", str(log.key))
    files = _files_of(statement)
    for each in files:
        try:
            log.check(str(each["digest"]["sha256"]))
        except Unproven as error:
            raise Unproven(f"{each.get('name')}: {error}") from None
        except CommandFailed as error:
            if type(error) is not CommandFailed:  # trouble, which says nothing about the file
                raise
            raise Unproven(f"{each.get('name')}: {error}") from None
    return {"build": id, "files": len(files), "statement": dict(statement.whole)}


def _files_of(provenance: Statement) -> list[dict[str, Any]]:
    """Raises `Unproven`."""
    try:
        inputs = provenance.predicate["buildDefinition"]["resolvedDependencies"]
        return [
            each
            for each in inputs
            if each.get("annotations", {}).get("orchard_kind") == "file" and each["digest"]["sha256"]
        ]
    except (KeyError, TypeError, AttributeError):
        raise Unproven("the statement does not tell what the build got") from None


def _proven(entry: dict[str, Any], proof: Proof, checkpoint: Checkpoint) -> dict[str, Any]:
    return {"log": checkpoint.origin, "size": checkpoint.size, "index": proof.index, "entry": entry}


def _stated(lines: list[bytes], sha256: str, key: Key) -> dict[str, Any] | None:
    """The newest statement that names this key; None: there is none. Raises `Unproven`."""
    found = statement_about(lines, sha256, key)
    return None if found is None else dict(found.whole)
