"""`orchard verify`: that files were admitted as the transparency log says, and that the log only grew.

What was seen of a log is remembered: its key the first time, its newest checkpoint always. Another key, or a
log that does not go on from there, fails. Builds and locks are to be verified by the same `_Log.check`, one
digest after the other.
"""

from __future__ import annotations

import argparse
import hashlib
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

from services.cli.errors import CommandFailed, WrongUse
from services.cli.files import write_whole
from services.cli.output import Output
from services.cli.server import Answer, Server, connect
from shared.tlog.notes import Checkpoint, Key, read_checkpoint, read_key
from shared.tlog.proofs import Proof, check_file, read_hashes, read_proof
from shared.tlog.trees import Unproven, check_consistency

OFFERS = "a transparency log"
WHAT_NOW = "Do not use it, and ask whoever runs this Orchard; docs/transparency.md says what it may be."


def run(options: argparse.Namespace, output: Output) -> None:
    """Raises `CommandFailed` for the first file that is not proven."""
    try:
        found = _offline(options) if options.proof else _online(options)
    except Unproven as error:
        raise CommandFailed(f"not proven: {error}", WHAT_NOW) from None
    output.result(
        {"files": found},
        "\n".join(f"{each['file']}: admitted {each['entry']['time']} from {_source(each)}" for each in found),
    )


def _source(each: dict[str, Any]) -> str:
    source = each["entry"].get("source", {})
    return str(source.get("url") or source.get("name") or "an unknown source")


def _offline(options: argparse.Namespace) -> list[dict[str, Any]]:
    """One file by a proof that was saved. Raises `Unproven` and `CommandFailed`."""
    if not options.key or len(options.files) != 1:
        raise WrongUse("--proof is of one file, and needs --key", "GET /api/v1/log tells the log's key.")
    proof = read_proof(_read(Path(options.proof)))
    entry, checkpoint = check_file(_sha256(options.files[0]), proof, read_key(options.key))
    return [_found(options.files[0], entry, proof, checkpoint)]


def _online(options: argparse.Namespace) -> list[dict[str, Any]]:
    log = _Log(connect(options), options.key)
    found = []
    for name in options.files:
        entry, proof, checkpoint = log.check(_sha256(name))
        found.append(_found(name, entry, proof, checkpoint))
        if options.save:
            write_whole(Path(options.save) / f"{Path(name).name}.tlog-proof", log.last_proof)
    log.remember()
    return found


def _found(name: str, entry: dict[str, Any], proof: Proof, checkpoint: Checkpoint) -> dict[str, Any]:
    log = {"log": checkpoint.origin, "size": checkpoint.size, "index": proof.index}
    return {"file": name, **log, "entry": entry}


class _Log:
    """A log on a server, and what is remembered of it."""

    def __init__(self, server: Server, key: str) -> None:
        """Raises `Unproven` for another key than the one that is remembered, and what the server's errors
        mean."""
        self._server = server
        self._path = _folder() / f"{quote(server.target.base, safe='')}.log"
        known, _, checkpoint = _read(self._path).partition(b"\n") if self._path.is_file() else (b"", b"", b"")
        told = str(self._server.call("GET", "/api/v1/log", offers=OFFERS)["key"])
        expected = key or known.decode("ascii", "replace")
        if expected and expected != told:
            raise Unproven(f"the log's key is {told}, and {expected} was expected")
        self.key: Key = read_key(told)
        self._seen: Checkpoint | None = read_checkpoint(checkpoint, self.key) if checkpoint else None
        self._note = checkpoint
        self.last_proof = b""

    def check(self, sha256: str) -> tuple[dict[str, Any], Proof, Checkpoint]:
        """The entry that admitted these bytes, in a log that goes on from what was seen. Raises
        `Unproven`."""
        self.last_proof = self._ask("/api/v1/log/proof", sha256=sha256).body
        proof = read_proof(self.last_proof)
        entry, checkpoint = check_file(sha256, proof, self.key)
        self._grow(checkpoint, proof.checkpoint)
        return entry, proof, checkpoint

    def _grow(self, new: Checkpoint, note: bytes) -> None:
        old = self._seen
        if old is not None:
            hashes: list[bytes] = []
            if old.size < new.size:
                answer = self._ask("/api/v1/log/consistency", old=str(old.size), size=str(new.size))
                hashes = read_hashes(answer.body)
            check_consistency(old.size, old.root, new.size, new.root, hashes)
        self._seen, self._note = new, note

    def remember(self) -> None:
        """For the next time."""
        write_whole(self._path, f"{self.key}\n".encode() + self._note)

    def _ask(self, path: str, **query: str) -> Answer:
        answer = self._server.request("GET", path, query=query)
        self._server.check(answer, offers=OFFERS)
        return answer


def _folder() -> Path:
    state = os.environ.get("XDG_STATE_HOME", "")
    return Path(state if state.startswith("/") else Path.home() / ".local" / "state") / "orchard"


def _sha256(name: str) -> str:
    try:
        with Path(name).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CommandFailed(f"{name}: {error.strerror}") from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CommandFailed(f"{path}: {error.strerror}") from None
