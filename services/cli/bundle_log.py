"""What a bundle on this machine proves, in place of a log on a server: no Orchard and no network is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from services.cli.errors import CommandFailed, WrongUse
from services.cli.locks import NotThere
from services.cli.programs import told_by
from shared.bundles.form import BundleRefused, read_head
from shared.bundles.proving import BundleProofs, NotInBundle, check_objects
from shared.tlog.dsse import statement_about
from shared.tlog.notes import Checkpoint, Key
from shared.tlog.proofs import Proof, write_proof

READER = "services.standalone.bundles.locked"


class BundleLog:
    """The log as a bundle has it."""

    def __init__(self, name: str, key: Key) -> None:
        """Raises `Unproven` for a bundle that this key has not signed, `CommandFailed`."""
        self._path = Path(name).absolute()
        self.key = key
        self.last_proof = b""
        try:
            with self._path.open("rb") as file:
                self._proofs = BundleProofs(read_head(file.read), key)
        except BundleRefused as error:
            raise CommandFailed(f"{name}: {error}") from None
        except OSError as error:
            raise CommandFailed(f"{name}: {error.strerror}") from None

    def check(self, sha256: str) -> tuple[dict[str, Any], Proof, Checkpoint]:
        """As `KnownLog.check`."""
        try:
            entry, proof = self._proofs.check(sha256)
        except NotInBundle as error:
            raise NotThere(str(error)) from None
        self.last_proof = write_proof(proof)
        return entry, proof, self._proofs.checkpoint

    def envelopes(self, sha256: str) -> list[bytes]:
        """As `KnownLog.envelopes`."""
        return self._proofs.envelopes(sha256)

    def whole(self, id: str) -> dict[str, Any]:
        """The build, or the lock as one, that the bundle is to be: each file of it, and all objects. Raises
        `Unproven`, `CommandFailed`."""
        if id != self._proofs.id:
            raise CommandFailed(f"the bundle is of {self._proofs.id}, not of {id}")
        stated = 0
        for sha256 in self._proofs.files:
            self._proofs.check(sha256)
            stated += statement_about(self._proofs.envelopes(sha256), sha256, self.key) is not None
        try:
            with self._path.open("rb") as file:
                carried, left_out = check_objects(file.read, read_head(file.read))
        except BundleRefused as error:
            raise CommandFailed(f"{self._path}: {error}") from None
        counts = {"files": len(self._proofs.files), "stated": stated}
        return {"build": id, **counts, "objects": carried, "left_out": left_out}

    def locked(self, kind: str, name: str, data: bytes) -> bytes:
        """What it has of a lock of a client, as `POST /api/v1/log/admitted` tells it. The readers of such
        locks are the server's, which is installed here or not: it need not run. Raises `CommandFailed`."""
        words = [f"--kind={kind}", f"--name={name}", str(self._path)]
        try:
            return told_by(READER, words, data)
        except WrongUse as error:
            raise WrongUse(f"{name}: {error.message}") from None
        except CommandFailed as error:
            hint = f"{error.hint} A lock of `orchard ensure`, and single files, are verified without it."
            raise CommandFailed(f"{error.message}, which reads {kind}", hint) from None

    def remember(self) -> None:
        """Nothing: who names the key has it."""
