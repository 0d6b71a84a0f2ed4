"""What is told of a file without any digest: by its first bytes, and no more strictly than is safe."""

from __future__ import annotations

import pytest

from services.fetcher.digests import check_magic, check_metadata
from shared.errors import UpstreamInvalid

ZIP = b"PK\x03\x04rest"
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
    check_magic(filename, start)


@pytest.mark.parametrize("start", [PAGE, b'{"error": "try again"}', b"not here", b""])
@pytest.mark.parametrize("filename", ["a.whl", "a.zip", "a.egg", "a.jar", "a.tar.gz", "a.tgz", "a.exe"])
def test_magic__error_message_in_its_place__refused(filename: str, start: bytes) -> None:
    with pytest.raises(UpstreamInvalid):
        check_magic(filename, start)


@pytest.mark.parametrize("start", [b"Metadata-Version: 2.1\nName: a\n", b"\nname : a\r\n", b"X: 1\nName: a"])
def test_metadata__with_a_field_of_it__taken(start: bytes) -> None:
    check_metadata("a.whl.metadata", start)


@pytest.mark.parametrize("start", [b"", PAGE, b'{"Name": "a"}', b"not here", b"\0Name"])
def test_metadata__without__refused(start: bytes) -> None:
    with pytest.raises(UpstreamInvalid):
        check_metadata("a.whl.metadata", start)
