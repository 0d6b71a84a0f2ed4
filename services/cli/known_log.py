"""A log on a server, and what this machine remembers of it: its key the first time, its newest checkpoint
always. Another key that nobody named, or a log that does not go on from there, fails."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from services.cli.errors import CommandFailed
from services.cli.files import write_whole
from services.cli.server import Answer, Server
from shared.tlog.notes import Checkpoint, Key, read_checkpoint, read_key
from shared.tlog.proofs import Proof, check_file, read_hashes, read_proof
from shared.tlog.trees import Unproven, check_consistency

OFFERS = "a transparency log"
STATEMENTS = "/api/v1/statements"
WHAT_NOW = "Do not use it, and ask whoever runs this Orchard; docs/transparency.md says what it may be."


class Memory(NamedTuple):
    """What is remembered of a log."""

    path: Path
    key: Key
    note: bytes  # its newest checkpoint; b"": none yet

    @property
    def seen(self) -> Checkpoint | None:
        return read_checkpoint(self.note, self.key) if self.note else None

    def aside(self) -> Path:
        """Where it is kept while the same address has the log of another name."""
        return self.path.with_name(f"{self.path.name}.{quote(self.key.name, safe='')}")


def read_memory(path: Path) -> Memory | None:
    """None: nothing is remembered there. Raises `CommandFailed` for what this command did not write."""
    if not path.is_file():
        return None
    known, _, note = read_bytes(path).partition(b"\n")
    try:
        found = Memory(path, read_key(known.decode("ascii", "replace")), note)
        _ = found.seen
    except Unproven as error:
        raise CommandFailed(
            f"what is remembered of the log is damaged: {error}", f"Remove {path}, and compare the log's key."
        ) from None
    return found


class KnownLog:
    """A log on a server, and what is remembered of it."""

    def __init__(self, server: Server, key: str) -> None:
        """`key`: who is to sign it; "": the key that is remembered, or the one that is told the first time.

        A log is known by its name: one of another name begins anew; one of the same name goes on from what
        was seen, whoever signs it now. Raises `Unproven` for another key than that, and what the server's
        errors mean.
        """
        self._server = server
        self._path = _folder() / f"{quote(server.target.base, safe='')}.log"
        self._before = read_memory(self._path)
        told = str(self._server.call("GET", "/api/v1/log", offers=OFFERS)["key"])
        if key and key != told:
            raise Unproven(f"the log's key is {told}, and {key} was expected")
        self.key: Key = read_key(told)
        known = self._before
        if known is not None and known.key != self.key and not key:
            raise Unproven(_another(known.key, self.key))
        if known is not None and known.key.name != self.key.name:
            known = read_memory(known._replace(key=self.key).aside())
        self._seen: Checkpoint | None = None if known is None else known.seen
        self._note = b"" if known is None or known.key != self.key else known.note
        self.last_proof = b""

    def check(self, sha256: str) -> tuple[dict[str, Any], Proof, Checkpoint]:
        """The entry that admitted these bytes, in a log that goes on from what was seen. Raises
        `Unproven`."""
        self.last_proof = self._ask("/api/v1/log/proof", sha256=sha256).body
        proof = read_proof(self.last_proof)
        entry, checkpoint = check_file(sha256, proof, self.key)
        self._grow(checkpoint, proof.checkpoint)
        return entry, proof, checkpoint

    def envelopes(self, sha256: str) -> list[bytes]:
        """What is stated of a file, not verified."""
        return _envelopes(self._server, sha256)

    def _grow(self, new: Checkpoint, note: bytes) -> None:
        old = self._seen
        if old is not None:
            hashes: list[bytes] = []
            if old.size < new.size:
                answer = self._ask("/api/v1/log/consistency", old=str(old.size), size=str(new.size))
                hashes = read_hashes(answer.body)
            try:
                check_consistency(old.size, old.root, new.size, new.root, hashes)
            except Unproven as error:
                begun = f"if whoever runs it says that it was begun anew, remove {self._path}"
                raise Unproven(f"{error}; {begun}") from None
        self._seen, self._note = new, note

    def remember(self) -> None:
        """For the next time; what was seen of a log of another name as well."""
        if self._seen is not None and not self._note:
            return  # nothing that this key has signed was looked at
        before = self._before
        if before is not None and before.key.name != self.key.name:
            write_whole(before.aside(), f"{before.key}\n".encode() + before.note)
        write_whole(self._path, f"{self.key}\n".encode() + self._note)

    def _ask(self, path: str, **query: str) -> Answer:
        answer = self._server.request("GET", path, query=query)
        self._server.check(answer, offers=OFFERS)
        return answer


def _another(known: Key, told: Key) -> str:
    """Why, and what to do."""
    what = (
        f"the log {known.name} is signed by another key"
        if known.name == told.name
        else f"there is another log, {told.name}, in the place of {known.name}"
    )
    return (
        f"{what}: its key is {told}, and {known} was expected; if whoever runs this Orchard gives you that "
        "key, say it once with --key"
    )


class ImportedLog:
    """The log of another Orchard, whose bundles were imported on a server: each proof as its bundle told it.
    That the log only grew from one bundle to the next the imports have checked."""

    def __init__(self, server: Server, key: Key, own: str) -> None:
        """`own`: the key of the server's own log; "": it keeps none."""
        self._server = server
        self.key = key
        self._own = own
        self.last_proof = b""

    def check(self, sha256: str) -> tuple[dict[str, Any], Proof, Checkpoint]:
        """As `KnownLog.check`."""
        answer = self._server.request(
            "GET", "/api/v1/log/proof", query={"sha256": sha256, "key": str(self.key)}
        )
        if answer.status == 404:
            own = f"the log's key is {self._own}" if self._own else "it keeps no log"
            message = f"{own}, and {self.key} was expected: no bundle of that brought the file {sha256}"
            raise CommandFailed(message, WHAT_NOW, status=404)
        self._server.check(answer, offers=OFFERS)
        self.last_proof = answer.body
        proof = read_proof(answer.body)
        entry, checkpoint = check_file(sha256, proof, self.key)
        return entry, proof, checkpoint

    def envelopes(self, sha256: str) -> list[bytes]:
        """As `KnownLog.envelopes`."""
        return _envelopes(self._server, sha256)

    def remember(self) -> None:
        """Nothing: who names the key has it."""


def _envelopes(server: Server, sha256: str) -> list[bytes]:
    """Nothing where an older Orchard, or none, says anything."""
    answer = server.request("GET", f"{STATEMENTS}/sha256/{sha256}")
    if answer.status == 404:
        return []
    server.check(answer, offers="statements")
    return answer.body.splitlines()


def log_of(server: Server, key: str) -> KnownLog | ImportedLog:
    """The server's own log; the one of this key, if it is another's. Raises as `KnownLog`."""
    answer = server.request("GET", "/api/v1/log")
    own = str(answer.json()["key"]) if answer.status == 200 else ""
    return ImportedLog(server, read_key(key), own) if key and key != own else KnownLog(server, key)


def _folder() -> Path:
    state = os.environ.get("XDG_STATE_HOME", "")
    return Path(state if state.startswith("/") else Path.home() / ".local" / "state") / "orchard"


def key_of(server: Server, told: str) -> Key:
    """The key that is told, else the one of the server's log, if that is the one that is remembered. Raises
    `Unproven`."""
    if told:
        return read_key(told)
    log = KnownLog(server, "")
    log.remember()
    return log.key


def sha256_of(name: str) -> str:
    """Of a file's bytes. Raises `CommandFailed`."""
    try:
        with Path(name).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CommandFailed(f"{name}: {error.strerror}") from None


def read_bytes(path: Path) -> bytes:
    """Raises `CommandFailed`."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise CommandFailed(f"{path}: {error.strerror}") from None
