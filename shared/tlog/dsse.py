"""DSSE envelopes (secure-systems-lab/dsse v1) of in-toto Statements v1, read and checked.

The standard library alone.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from shared.tlog.documents import read_document
from shared.tlog.ed25519 import is_signed
from shared.tlog.notes import ED25519, Key
from shared.tlog.trees import Unproven

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT = "https://in-toto.io/Statement/v1"
DEPENDENCY = "https://slsa.dev/dependency/v1"
PROVENANCE = "https://slsa.dev/provenance/v1"
CYCLONEDX = "https://cyclonedx.org/bom"
SPDX = "https://spdx.dev/Document"
OF_BUILDS = {"provenance": PROVENANCE, "cyclonedx": CYCLONEDX, "spdx": SPDX}
"""Predicates by what the API calls the statements of a sealed build."""
Check = Callable[[bytes, bytes, bytes], bool]
"""Whether a public key has signed a message with this signature (Ed25519)."""

MOST_BYTES = 64 * 1024 * 1024
MOST_SIGNATURES = 100


def signed_bytes(payload_type: str, payload: bytes) -> bytes:
    """What a signature is over: DSSE's pre-authentication encoding."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def key_id(key: Key) -> str:
    """As envelopes name it: a hint, which proves nothing."""
    return f"{key.name}+{key.id.hex()}"


class Statement(NamedTuple):
    """What somebody has signed. `subjects`: digests by algorithm, of each."""

    subjects: Sequence[Mapping[str, str]]
    predicate_type: str
    predicate: Mapping[str, Any]
    whole: Mapping[str, Any]

    def is_about(self, algorithm: str, digest: str) -> bool:
        """Whether a subject has this digest (lower-case hex)."""
        return any(each.get(algorithm) == digest for each in self.subjects)


def read_statement(envelope: bytes, key: Key, predicate: str, check: Check = is_signed) -> Statement:
    """The statement in an envelope that `key` has signed, with the predicate of this type: a key signs
    statements of several. `check`: a faster one, where it is at hand. Raises `Unproven` for anything else."""
    if len(envelope) > MOST_BYTES:
        raise Unproven("an envelope is not as long")
    outer = read_document(envelope, "an envelope")
    kind, signatures = outer.get("payloadType"), outer.get("signatures")
    payload = _decoded(outer.get("payload"))
    if kind != PAYLOAD_TYPE:
        raise Unproven(f"not an envelope of a statement: its payload is {str(kind)[:80]!r}")
    if not isinstance(signatures, list) or not 0 < len(signatures) <= MOST_SIGNATURES:
        raise Unproven("an envelope has some signatures")
    message = signed_bytes(kind, payload)
    if key.kind != ED25519 or not any(check(key.public, message, _signature(each)) for each in signatures):
        raise Unproven(f"the statement is not signed by {key}")
    found = _read(read_document(payload, "a statement"))
    if found.predicate_type != predicate:
        raise Unproven(
            f"the statement's predicate is {found.predicate_type[:200]!r}, and {predicate} was expected"
        )
    return found


def is_named(envelope: bytes, key: Key) -> bool:
    """Whether an envelope names this key: a hint of who may have signed it. Raises `Unproven`."""
    signatures = read_document(envelope, "an envelope").get("signatures")
    named = (
        [each.get("keyid") for each in signatures if isinstance(each, dict)]
        if isinstance(signatures, list)
        else []
    )
    return key_id(key) in named


def statement_about(envelopes: Iterable[bytes], sha256: str, key: Key) -> Statement | None:
    """The first of `statements_about`; None: there is none, as of a key before. Raises as that."""
    return next(iter(statements_about(envelopes, sha256, key)), None)


def statements_about(envelopes: Iterable[bytes], sha256: str, key: Key) -> list[Statement]:
    """The admissions in those that name this key. Raises `Unproven` where one that names it is not signed by
    it, states no admission, or is about another file than this SHA256's."""
    found = [read_statement(each, key, DEPENDENCY) for each in envelopes if is_named(each, key)]
    if not all(each.is_about("sha256", sha256) for each in found):
        raise Unproven("the statement is about another file")
    return found


def _signature(signature: object) -> bytes:
    """Whoever is named: a name in an envelope is not signed."""
    if not isinstance(signature, dict):
        raise Unproven("not a signature of an envelope")
    return _decoded(signature.get("sig"))


def _read(whole: Mapping[str, Any]) -> Statement:
    predicate, kind, found = whole.get("predicate"), whole.get("predicateType"), whole.get("subject")
    if whole.get("_type") != STATEMENT or not isinstance(kind, str) or not isinstance(predicate, dict):
        raise Unproven("not an in-toto Statement v1")
    if not isinstance(found, list) or not found:
        raise Unproven("a statement is about something")
    digests = [each.get("digest") if isinstance(each, dict) else None for each in found]
    subjects = [each for each in digests if isinstance(each, dict) and each]
    if len(subjects) != len(found):
        raise Unproven("a statement's subject has digests")
    return Statement(subjects, kind, predicate, whole)


def _decoded(text: object) -> bytes:
    """Base64 in its one spelling, standard or for URLs, as DSSE allows. Raises `Unproven`."""
    if isinstance(text, str):
        for decode, encode in (
            (base64.standard_b64decode, base64.standard_b64encode),
            (base64.urlsafe_b64decode, base64.urlsafe_b64encode),
        ):
            try:
                data = decode(text)
            except (ValueError, binascii.Error):
                continue
            if data and encode(data).decode() == text:
                return data
    raise Unproven("an envelope's parts are base64")
