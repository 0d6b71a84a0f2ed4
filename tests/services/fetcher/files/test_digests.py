"""What is told of a file decides, the strongest digest first; without any, its first bytes do."""

from __future__ import annotations

import contextlib
import hashlib

import pytest

from services.fetcher.files.digests import Digests, check_magic
from shared.digests import matches
from shared.errors import DigestMismatch, UpstreamInvalid
from shared.protocols.maven import MavenProxy
from shared.protocols.pypi import PyPIProxy

ZIP = b"PK\x03\x04rest"
ARCHIVES = {"app-1.0.jar": MavenProxy().archive, "a.jar": MavenProxy().archive}
PAGE = b"<!DOCTYPE html><html>Sign in</html>"


@pytest.mark.parametrize(
    ("filename", "start"),
    [
        ("a-1.0-py3-none-any.whl", ZIP),
        ("a-1.0.zip", b"#!/bin/sh\nexec python $0\n" + ZIP),
        ("a-1.0-py3.egg", b"#!/bin/sh\n" + ZIP),
        ("app-1.0.jar", b"#!/bin/bash\n" + ZIP),
        ("a-1.0.zip", b"MZ" + ZIP),
        ("protoc-gen-1.0-linux-x86_64.exe", b"\x7fELF\x02"),
        ("protoc-gen-1.0-osx-x86_64.exe", b"\xcf\xfa\xed\xfe"),
        ("protoc-gen-1.0-osx-universal.exe", b"\xca\xfe\xba\xbe"),
        ("a-1.0.exe", b"MZ\x90"),
        ("a-1.0.exe", b"#!/bin/sh\n"),
        ("a-1.0.tar.gz", b"\x1f\x8b\x08"),
        ("notes.txt", b"anything"),
    ],
)
def test_magic__what_clients_and_tools_use__taken(filename: str, start: bytes) -> None:
    check_magic(filename, ARCHIVES.get(filename, PyPIProxy().archive).magics_of(filename), start)


@pytest.mark.parametrize("start", [PAGE, b'{"error": "try again"}', b"not here", b""])
@pytest.mark.parametrize("filename", ["a.whl", "a.zip", "a.egg", "a.jar", "a.tar.gz", "a.tgz", "a.exe"])
def test_magic__error_message_in_its_place__refused(filename: str, start: bytes) -> None:
    with pytest.raises(UpstreamInvalid):
        check_magic(filename, ARCHIVES.get(filename, PyPIProxy().archive).magics_of(filename), start)


DATA = b"a file"
RIGHT, WRONG = hashlib.sha512(DATA).hexdigest(), "0" * 128
BLAKE = hashlib.blake2b(DATA).hexdigest()


@pytest.mark.parametrize(
    ("hashes", "right"),
    [
        ({"sha512": RIGHT, "md5": "0" * 32}, True),
        ({"sha512": WRONG, "md5": hashlib.md5(DATA).hexdigest()}, False),
        ({"sha512": RIGHT.upper()}, True),
        ({"sha512": f"{WRONG} {RIGHT}"}, True),
        ({"blake2b": BLAKE, "sha256": "0" * 64}, True),
        ({"blake2b": WRONG, "sha256": hashlib.sha256(DATA).hexdigest()}, False),
        ({"sha3_256": "0" * 64}, False),
        ({"whirlpool": WRONG}, True),
        ({"sha512": " ", "md5": "0" * 32}, False),
        ({}, True),
    ],
)
def test_digests__several_are_told__the_strongest_decides_of_downloads_and_of_what_is_at_hand(
    hashes: dict[str, str], right: bool
) -> None:
    digests = Digests(hashes)
    digests.update(DATA)
    with contextlib.nullcontext() if right else pytest.raises(DigestMismatch):
        digests.verify("a.txt")
    assert matches(hashes, DATA) == right


def test_digests__its_own_address_promises_another__refused() -> None:
    digests = Digests({"sha512": RIGHT}, promised_sha256="0" * 64)
    digests.update(DATA)
    both = f"have the sha256 {hashlib.sha256(DATA).hexdigest()}, not {'0' * 64}"
    with pytest.raises(DigestMismatch, match=both):
        digests.verify("a.txt")
