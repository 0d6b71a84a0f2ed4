"""Checks what a transparency log says, and statements by its key: without a network, by the standard library
alone.

    python3 verify.pyz file FILE --proof FILE.tlog-proof --key KEY [--after OLD --consistency PROOF]
    python3 verify.pyz checkpoints OLD NEW --consistency PROOF --key KEY
    python3 verify.pyz mirror FOLDER --key KEY [--after OLD]
    python3 verify.pyz statement FILE --statement FILE.intoto.jsonl --key KEY

Exit codes: 0 proven, 1 not proven, 2 wrong use.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from shared.tlog.dsse import statement_about
from shared.tlog.notes import Checkpoint, Key, read_checkpoint, read_key
from shared.tlog.proofs import check_file, check_mirror, read_hashes, read_proof
from shared.tlog.trees import Unproven, check_consistency


def main(arguments: Sequence[str] | None = None, of: argparse.ArgumentParser | None = None) -> int:
    """Returns the exit code. `of`: a parser that knows more (`shared.bundles.verify`)."""
    options = (of or parser()[0]).parse_args(arguments)
    try:
        key = read_key(options.key)
        old = read_checkpoint(Path(options.after).read_bytes(), key) if options.after else None
        sys.stdout.write(f"{options.run(options, key, old)}\n")
    except (Unproven, OSError, ValueError, RecursionError) as error:
        sys.stderr.write(f"not proven: {error}\n")
        return 1
    return 0


def _file(options: Any, key: Key, old: Checkpoint | None) -> str:
    entry, checkpoint = check_file(sha256_of(options.file), read_proof(Path(options.proof).read_bytes()), key)
    _continues(options, old, checkpoint)
    return f"proven: entry of {entry.get('time')} in a log of {checkpoint.size}: {json.dumps(entry)}"


def sha256_of(name: str) -> str:
    """Of a file's bytes. Raises `OSError`."""
    with Path(name).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _checkpoints(options: Any, key: Key, old: Checkpoint | None) -> str:
    checkpoint = read_checkpoint(Path(options.new).read_bytes(), key)
    _continues(options, old, checkpoint)
    return f"proven: a log of {checkpoint.size}, which only grew"


def _mirror(options: Any, key: Key, old: Checkpoint | None) -> str:
    folder = Path(options.folder)
    checkpoint = check_mirror(lambda path: (folder / path).read_bytes(), key, old)
    return f"proven: all of a log of {checkpoint.size}"


def _statement(options: Any, key: Key, _: Checkpoint | None) -> str:
    sha256 = sha256_of(options.file)
    lines = Path(options.statement).read_bytes().splitlines()
    found = statement_about(lines, sha256, key)
    if found is None:
        raise Unproven("there is no statement by this key")
    return f"proven: {json.dumps(found.whole)}"


def _continues(options: Any, old: Checkpoint | None, new: Checkpoint) -> None:
    if old is not None:
        proof = Path(options.consistency).read_bytes() if options.consistency else b""
        check_consistency(old.size, old.root, new.size, new.root, read_hashes(proof))


def parser() -> tuple[argparse.ArgumentParser, Any]:
    """And its commands, for who adds some."""
    parser = argparse.ArgumentParser(description="Check what a transparency log says, offline.")
    commands = parser.add_subparsers(required=True)
    for name, run, words in (
        ("file", _file, ("file",)),
        ("checkpoints", _checkpoints, ("after", "new")),
        ("mirror", _mirror, ("folder",)),
        ("statement", _statement, ("file",)),
    ):
        command = commands.add_parser(name)
        command.set_defaults(run=run)
        for word in words:
            command.add_argument(word)
        command.add_argument("--key", required=True, help="the log's, name+id+base64")
        if name == "statement":
            command.add_argument("--statement", required=True, help="envelopes, one a line")
            command.set_defaults(after="")
            continue
        if "after" not in words:
            command.add_argument("--after", default="", help="a checkpoint that was seen before")
        if name != "mirror":
            command.add_argument("--consistency", default="", help="that the log goes on from there")
        if name == "file":
            command.add_argument("--proof", required=True)
    return parser, commands


if __name__ == "__main__":
    sys.exit(main())
