"""A detached signature by one of the keys is right; anything else is false, and nothing of it does harm."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from services.fetcher.provenance.items import SignedFile
from services.fetcher.provenance.openpgp import MOST_SIGNATURES, verify
from shared.policy.evidence import LONGEST, OPENPGP, Evidence
from shared.process.child import answer_of
from tests.support import openpgp
from tests.support.openpgp import Signer

CHILD = "services.fetcher.provenance.openpgp"
CONTENT = b"the bytes of a jar"


@pytest.fixture(scope="module")
def signer() -> Signer:
    return Signer("us")


@pytest.fixture(scope="module")
def stranger() -> Signer:
    return Signer("them")


def of(
    signature: bytes, signer: Signer, folder: Path, content: bytes = CONTENT, fingerprint: str = ""
) -> Evidence:
    path = signer.write(folder)
    return verify(SignedFile(signature, (fingerprint or signer.fingerprint,), (str(path),), 10, content))


@pytest.mark.parametrize("armor", [True, False], ids=["armored", "binary"])
def test_right_one__names_the_key_that_signed(signer: Signer, tmp_path: Path, armor: bool) -> None:
    found = of(signer.sign(CONTENT, armor=armor), signer, tmp_path)
    assert found.status == "verified", found.why
    assert (found.publisher.kind, found.publisher.repository) == (OPENPGP, signer.fingerprint)


def test_key_may_be_told_by_its_subkey(signer: Signer, tmp_path: Path) -> None:
    assert signer.subkey != signer.fingerprint
    found = of(signer.sign(CONTENT), signer, tmp_path, fingerprint=signer.subkey)
    assert found.status == "verified" and found.publisher.repository == signer.fingerprint


def test_one_of_several_is_enough(signer: Signer, stranger: Signer, tmp_path: Path) -> None:
    both = stranger.sign(CONTENT, armor=False) + signer.sign(CONTENT, armor=False)
    assert of(both, signer, tmp_path).status == "verified"


FALSE: dict[str, Callable[[Signer, Signer], bytes]] = {
    "of another file": lambda us, them: us.sign(CONTENT + b"!"),
    "by another key": lambda us, them: them.sign(CONTENT),
    "nothing": lambda us, them: b"",
    "no packets": lambda us, them: b"<html>not found</html>",
    "cut": lambda us, them: us.sign(CONTENT)[:150],
    "damaged": lambda us, them: us.sign(CONTENT, armor=False)[:-4] + b"\0\0\0\0",
    "a signed message": lambda us, them: us.message(CONTENT),
    "a key": lambda us, them: str(us.certificate).encode(),
    "too many": lambda us, them: us.sign(CONTENT, armor=False) * (MOST_SIGNATURES + 1),
    "very many": lambda us, them: us.sign(CONTENT, armor=False) * 300,
    "a length of 4 GiB": lambda us, them: b"\xc2\xff\xff\xff\xff\xff" + b"\0" * 100,
    "nested": lambda us, them: b"\xc8\x05\x00\x01\x02\x03\x04" * 1000,
}


@pytest.mark.parametrize("kind", FALSE)
def test_false_one__is_refused_with_a_short_reason(
    signer: Signer, stranger: Signer, tmp_path: Path, kind: str
) -> None:
    found = of(FALSE[kind](signer, stranger), signer, tmp_path)
    assert found.status == "failed"
    assert found.why and found.why.isprintable() and len(found.why) <= LONGEST
    assert "Stack" not in found.why


def test_key_of_the_folder_that_the_rule_does_not_name__is_no_key(
    signer: Signer, stranger: Signer, tmp_path: Path
) -> None:
    paths = tuple(str(each.write(tmp_path)) for each in (signer, stranger))
    order = SignedFile(stranger.sign(CONTENT), (signer.fingerprint,), paths, 10, CONTENT)
    assert verify(order).status == "failed"


def test_revoked_key__signs_nothing_any_more(tmp_path: Path) -> None:
    signer = Signer("gone")
    signature = signer.sign(CONTENT)
    path = signer.write(tmp_path, signer.revoked())
    found = verify(SignedFile(signature, (signer.fingerprint,), (str(path),), 10, CONTENT))
    assert found.status == "failed"


def old(signature: bytes, folder: Path) -> Evidence:
    (folder / "old.asc").write_text(openpgp.KEY)
    (folder / "expired.asc").write_text(openpgp.EXPIRED_KEY)
    files = tuple(str(folder / name) for name in ("old.asc", "expired.asc"))
    wanted = (openpgp.FINGERPRINT, openpgp.EXPIRED_FINGERPRINT)
    return verify(SignedFile(signature, wanted, files, 10, openpgp.CONTENT))


def test_expired_key__counts_as_of_when_it_signed(tmp_path: Path) -> None:
    assert old(openpgp.BEFORE_IT_EXPIRED, tmp_path).status == "verified"
    assert old(openpgp.AFTER_IT_EXPIRED, tmp_path).status == "failed"


def test_signature_of_gnupg(tmp_path: Path) -> None:
    assert old(openpgp.WITH_SHA256, tmp_path).status == "verified"


@pytest.mark.parametrize("signature", [openpgp.WITH_SHA1, openpgp.OF_A_TEXT], ids=["SHA-1", "of a text"])
def test_weak_signature__is_none(tmp_path: Path, signature: bytes) -> None:
    assert old(signature, tmp_path).status == "failed"


@pytest.mark.parametrize("text", [None, "no key", "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmDME"])
def test_keys_that_cannot_be_read__leave_it_unknown(signer: Signer, tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "keys.asc"
    if text is not None:
        path.write_text(text)
    order = SignedFile(signer.sign(CONTENT), (signer.fingerprint,), (str(path),), 10, CONTENT)
    assert verify(order).status == "unknown"


async def test_process_of_its_own__reads_a_large_file_by_its_descriptor(
    signer: Signer, tmp_path: Path
) -> None:
    path = tmp_path / "large.jar"
    content = os.urandom(1024) * 4096
    path.write_bytes(content)
    keys = (str(signer.write(tmp_path / "keys")),)
    with path.open("rb") as opened:
        order = SignedFile(
            signer.sign(content), (signer.fingerprint,), keys, 10, path=f"/proc/self/fd/{opened.fileno()}"
        )
        path.unlink()
        output = await answer_of(CHILD, msgspec.msgpack.encode(order), 60, (opened.fileno(),))
    assert msgspec.msgpack.decode(output, type=Evidence).status == "verified"


async def test_process_that_takes_too_long__dies_without_a_word(signer: Signer, tmp_path: Path) -> None:
    path = tmp_path / "huge.jar"
    with path.open("wb") as file:
        file.truncate(64 * 1024**3)
    keys = (str(signer.write(tmp_path / "keys")),)
    order = SignedFile(signer.sign(CONTENT), (signer.fingerprint,), keys, 1, path=str(path))
    output = await asyncio.wait_for(answer_of(CHILD, msgspec.msgpack.encode(order), 60), 90)
    assert output == b""
