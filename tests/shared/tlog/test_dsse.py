"""Envelopes: what is read was signed by that key, to the byte; the verifier here and a stranger's agree."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from securesystemslib.exceptions import VerificationError

from shared.tlog.dsse import PAYLOAD_TYPE, read_statement, signed_bytes
from shared.tlog.signing import Signer
from shared.tlog.trees import Unproven
from tests.support.statement_schemas import checked

SIGNER, OTHER = Signer("one.example/log", bytes(32)), Signer("one.example/log", bytes(31) + b"1")
KIND = "https://example.com/p"
WHOLE = {
    "_type": "https://in-toto.io/Statement/v1",
    "subject": [{"name": "demo", "digest": {"sha256": "a" * 64}}],
    "predicateType": KIND,
    "predicate": {"x": 1},
}
ENVELOPE = SIGNER.envelope(json.dumps(WHOLE).encode())


def changed(**fields: Any) -> bytes:
    return json.dumps({**json.loads(ENVELOPE), **fields}).encode()


def test_message__is_that_of_the_specification() -> None:
    """The example of the DSSE specification."""
    assert signed_bytes("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def test_an_envelope__reads_here_and_elsewhere() -> None:
    found = read_statement(ENVELOPE, SIGNER.key, KIND)
    assert found.whole == WHOLE == checked(ENVELOPE, SIGNER.key)
    assert found.is_about("sha256", "a" * 64) and not found.is_about("sha256", "b" * 64)
    assert SIGNER.envelope(json.dumps(WHOLE).encode()) == ENVELOPE


def test_another_key__proves_nothing_here_or_elsewhere() -> None:
    with pytest.raises(Unproven, match="not signed by"):
        read_statement(ENVELOPE, OTHER.key, KIND)
    with pytest.raises(VerificationError):
        checked(ENVELOPE, OTHER.key)


def test_a_key_id_that_lies__is_a_hint_and_no_more() -> None:
    (signature,) = json.loads(ENVELOPE)["signatures"]
    assert read_statement(changed(signatures=[{**signature, "keyid": "another"}]), SIGNER.key, KIND)
    others = json.loads(OTHER.envelope(json.dumps(WHOLE).encode()))["signatures"][0]
    with pytest.raises(Unproven, match="not signed by"):
        read_statement(changed(signatures=[{**others, "keyid": signature["keyid"]}]), SIGNER.key, KIND)


def test_every_flipped_byte_of_payload_and_signature_is_found() -> None:
    outer = json.loads(ENVELOPE)
    payload, sig = base64.b64decode(outer["payload"]), base64.b64decode(outer["signatures"][0]["sig"])
    for at in range(0, len(payload), 7):
        wrong = payload[:at] + bytes([payload[at] ^ 1]) + payload[at + 1 :]
        with pytest.raises(Unproven):
            read_statement(changed(payload=base64.b64encode(wrong).decode()), SIGNER.key, KIND)
    for at in range(0, len(sig), 5):
        wrong = sig[:at] + bytes([sig[at] ^ 1]) + sig[at + 1 :]
        with pytest.raises(Unproven):
            read_statement(changed(signatures=[{"sig": base64.b64encode(wrong).decode()}]), SIGNER.key, KIND)


@pytest.mark.parametrize(
    "wrong",
    [
        b"",
        b"{",
        b"[]",
        b"[" * 100_000,
        changed(payloadType="application/json"),
        changed(payload="####"),
        changed(payload=3),
        changed(payload=json.loads(ENVELOPE)["payload"] + "\n"),
        changed(signatures=[]),
        changed(signatures={}),
        changed(signatures=["x"]),
        changed(signatures=[{"sig": "A" * 88}] * 101),
        ENVELOPE.replace(b'"payloadType"', b'"payload":"","payloadType"'),
    ],
)
def test_what_is_no_envelope__is_refused_by_name(wrong: bytes) -> None:
    with pytest.raises(Unproven):
        read_statement(wrong, SIGNER.key, KIND)


@pytest.mark.parametrize(
    "wrong",
    [
        {"_type": "https://in-toto.io/Statement/v0.1"},
        {"subject": []},
        {"subject": [{"name": "x"}]},
        {"subject": [{"digest": {"sha256": "a"}}, {}]},
        {"predicate": []},
        {"predicateType": 1},
    ],
)
def test_signed_but_no_statement__is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(Unproven):
        read_statement(SIGNER.envelope(json.dumps({**WHOLE, **wrong}).encode()), SIGNER.key, KIND)


def test_no_log_has_a_name_that_could_make_a_checkpoint_an_envelope() -> None:
    start = signed_bytes(PAYLOAD_TYPE, b"{}").decode()
    with pytest.raises(ValueError, match="name"):
        Signer(start, bytes(32))
