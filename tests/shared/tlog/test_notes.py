"""Notes, keys, cosignatures: what is signed counts, whatever else is there does not."""

from __future__ import annotations

import base64

import pytest
from Crypto.PublicKey import ECC
from Crypto.Signature import eddsa

from shared.tlog.ed25519 import is_signed
from shared.tlog.notes import COSIGNATURE, Key, read_checkpoint, read_key, read_note, signed_by
from shared.tlog.signing import new_signer_text, read_signer
from shared.tlog.trees import Unproven
from tests.shared.tlog.logs import SIGNER
from tests.shared.tlog.witnesses import Witness

ROOT = bytes(range(32))
CHECKPOINT = SIGNER.checkpoint(20852163, ROOT)

# RFC 8032 §7.1, tests 1 to 3.
VECTORS = [
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bb"
        "e24655141438e7a100b",
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb430"
        "2aeeb00d291612bb0c00",
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed"
        "28dc027beceea1ec40a",
    ),
]


@pytest.mark.parametrize(("public", "message", "signature"), VECTORS)
def test_signatures_of_the_rfc_are_valid_and_no_changed_one_is(
    public: str, message: str, signature: str
) -> None:
    key, text, given = bytes.fromhex(public), bytes.fromhex(message), bytes.fromhex(signature)
    assert is_signed(key, text, given)
    assert not is_signed(key, text + b"x", given)
    for at in (0, 31, 32, 63):
        assert not is_signed(key, text, given[:at] + bytes([given[at] ^ 1]) + given[at + 1 :])


def test_a_signature_has_one_spelling() -> None:
    order = 2**252 + 27742317777372353535851937790883648493
    public, message, signature = map(bytes.fromhex, VECTORS[1])
    scalar = int.from_bytes(signature[32:], "little") + order
    assert not is_signed(public, message, signature[:32] + scalar.to_bytes(32, "little"))


def test_a_checkpoint_is_read_by_the_key_that_signed_it() -> None:
    found = read_checkpoint(CHECKPOINT, SIGNER.key)
    assert (found.origin, found.size, found.root) == ("logs.example/one", 20852163, ROOT)
    other = read_signer(new_signer_text("logs.example/one"))
    with pytest.raises(Unproven, match="not signed by"):
        read_checkpoint(CHECKPOINT, other.key)
    with pytest.raises(Unproven, match="not a checkpoint of"):
        read_checkpoint(CHECKPOINT, read_signer(new_signer_text("elsewhere")).key)


@pytest.mark.parametrize("size", ["", "-1", "01", "1" * 19, "1" * 5000, "\u0661"])
def test_a_size_that_no_log_has_is_unproven(size: str) -> None:
    text = CHECKPOINT.decode().replace("20852163", size)
    with pytest.raises(Unproven, match="not the size of a log"):
        read_checkpoint(text.encode(), SIGNER.key)


def test_every_flipped_byte_of_a_checkpoint_is_found() -> None:
    for at in range(len(CHECKPOINT)):
        changed = CHECKPOINT[:at] + bytes([CHECKPOINT[at] ^ 1 << at % 8]) + CHECKPOINT[at + 1 :]
        with pytest.raises(Unproven):
            read_checkpoint(changed, SIGNER.key)


def test_keys_are_written_and_read() -> None:
    assert read_key(str(SIGNER.key)) == SIGNER.key
    text = str(SIGNER.key)
    for wrong in ("", "a+b", text[:-4], text.replace("one", "two"), text.replace("+", "-")):
        with pytest.raises(Unproven):
            read_key(wrong)


def test_a_private_key_is_neither_shown_nor_told_in_an_error() -> None:
    text = new_signer_text("logs.example/one")
    secret = text.split("+", 4)[4]
    assert secret not in repr(read_signer(text))
    for wrong in (text[:-4], text.replace("one", "two"), text.removeprefix("PRIVATE+KEY+"), "x" + text):
        with pytest.raises(ValueError) as caught:
            read_signer(wrong)
        assert secret[:12] not in str(caught.value)


def test_a_witness_signs_the_time_too() -> None:
    witness = Witness("witness.example/w1")
    note = read_note(witness.cosign(CHECKPOINT, 1700000000))
    assert signed_by(note, witness.key) == 1700000000
    assert signed_by(note, Witness("witness.example/w1").key) is None  # another key of that name
    line = witness.cosign(CHECKPOINT, 1700000000).rpartition("— ".encode())[2].split()[1]
    moved = bytearray(base64.b64decode(line))
    moved[11] ^= 1  # a second later or earlier
    changed = CHECKPOINT + f"— {witness.key.name} {base64.b64encode(moved).decode()}\n".encode()
    with pytest.raises(Unproven, match="is wrong"):
        signed_by(read_note(changed), witness.key)


def test_a_cosignature_stands_for_no_log() -> None:
    seed = bytes(32)
    key = ECC.construct(curve="Ed25519", seed=seed)
    public = key.public_key().export_key(format="raw")
    log = Key("x", COSIGNATURE, public)
    plain = eddsa.new(key, "rfc8032").sign(b"x\n")
    line = base64.b64encode(log.id + plain).decode()
    with pytest.raises(Unproven, match="is wrong"):
        signed_by(read_note(f"x\n\n— x {line}\n".encode()), log)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"x",
        b"x\n\n",
        b"x\n\n\xe2\x80\x94 y AAAA\n",
        b"x\r\n\n\xe2\x80\x94 y AAAAAAA=\n",
        b"\xff\n\n\xe2\x80\x94 y AAAAAAA=\n",
    ],
)
def test_what_is_no_note_is_refused(data: bytes) -> None:
    with pytest.raises(Unproven):
        read_note(data)
