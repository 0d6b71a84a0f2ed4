"""What a bundle proves without an Orchard: that a log has admitted files, and what is stated of them
(docs/decisions/0049). The standard library alone: the command and the stand-alone verifier need no more.

Who reads it says which key it is to be signed by: a bundle names its own, which proves nothing.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from typing import Any

from shared.bundles.form import FORMAT, Bodies, Head, Read, contents_of
from shared.tlog.documents import read_document
from shared.tlog.notes import Key, read_checkpoint
from shared.tlog.proofs import Proof, check_admission
from shared.tlog.trees import Unproven


class NotInBundle(Exception):
    """The bundle has no file of these bytes."""


class BundleProofs:
    """The log's part of a bundle, and its statements."""

    def __init__(self, head: Head, key: Key) -> None:
        """Raises `Unproven` for another key's bundle, and for a checkpoint that this key has not signed."""
        if head.key != key:
            raise Unproven(f"the bundle is signed by {head.key}, and {key} was expected")
        self.key = key
        try:
            told = read_document(head.manifest, "the manifest")
            if told["format"] != FORMAT or type(told["format"]) is not int:
                raise Unproven(f"the bundle's manifest is of another format than {FORMAT}")
            self.id = str(told["session"]["id"])
            self._note = _bytes(told["log"]["checkpoint"])
            self._files = {str(each["sha256"]): _proof(each, self._note) for each in told["log"]["files"]}
            stored = [each["stored"] for each in told["listed"]["files"]]
            self._named = {str(each["sha256"]) for each in stored if not each.get("provisional")}
            envelopes = [_bytes(each) for each in told.get("statements", ())]
        except Unproven:
            raise
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise Unproven(f"the bundle's manifest cannot be read: {type(error).__name__}") from None
        self.checkpoint = read_checkpoint(self._note, key)  # once: a signature takes milliseconds
        self._envelopes: dict[str, list[bytes]] = {}
        for each in envelopes:
            self._envelopes.setdefault(_about(each), []).append(each)

    @property
    def files(self) -> list[str]:
        """SHA256s of all files that its list names, sorted. What was read out of a file is none."""
        return sorted(self._named)

    def check(self, sha256: str) -> tuple[dict[str, Any], Proof]:
        """The entry that admitted these bytes, and its proof. Raises `NotInBundle`, `Unproven`."""
        proof = self._files.get(sha256)
        if proof is None:
            if sha256 in self._named:
                raise Unproven(f"the bundle has no proof of its file {sha256}")
            raise NotInBundle(f"the bundle has no file with the SHA256 {sha256}")
        return check_admission(sha256, proof, self.checkpoint), proof

    def envelopes(self, sha256: str) -> list[bytes]:
        """What it says that is stated of a file, not verified: `dsse.statement_about`."""
        return self._envelopes.get(sha256, [])


def check_objects(read: Read, head: Head) -> tuple[int, int]:
    """Reads what follows the head to its end: how many objects are in it, and how many are left out. Raises
    `BundleRefused`, which names the place."""
    bodies, carried = Bodies(read, head.size), 0
    objects = contents_of(head.manifest).objects
    for each in objects:
        chunks = bodies.next(each)
        carried += chunks is not None
        _drain(chunks)
    bodies.end()
    return carried, len(objects) - carried


def _drain(chunks: Iterator[bytes] | None) -> None:
    for _ in chunks or ():
        pass


def _proof(told: Mapping[str, Any], checkpoint: bytes) -> Proof:
    entry, hashes = _bytes(told["entry"]), [_bytes(each) for each in told["hashes"]]
    if type(told["index"]) is not int or told["index"] < 0:
        raise Unproven("the bundle's manifest has an index that is none")
    return Proof(entry, told["index"], hashes, checkpoint)


def _bytes(text: Any) -> bytes:
    return base64.b64decode(text, validate=True)


def _about(envelope: bytes) -> str:
    """The SHA256 that it says it is about; `statement` checks it. Raises `Unproven`."""
    try:
        outer = read_document(envelope, "an envelope")
        payload = read_document(_bytes(outer["payload"]), "a payload")
        return str(payload["subject"][0]["digest"]["sha256"])
    except (Unproven, ValueError, KeyError, TypeError, IndexError):
        raise Unproven("a statement in the bundle cannot be read") from None
