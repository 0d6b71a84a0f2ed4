"""What operators may ask about, in every spelling of every protocol."""

from __future__ import annotations

import pytest

from services.gateway.api.admin.subjects import Subject, read_subject
from shared.errors import InvalidParameter
from shared.protocols import PROTOCOLS

SHA256 = "ab" * 32


@pytest.mark.parametrize(
    ("text", "protocol", "project", "version"),
    [
        ("pkg:pypi/flask@3.0.0", "pypi", "flask", "3"),
        ("pkg:pypi/Flask_SQLAlchemy@1.0", "pypi", "flask-sqlalchemy", "1"),
        ("pkg:PyPI/zope.interface", "pypi", "zope-interface", ""),
        ("pkg:pypi/flask@1.0-rc.1?file_name=x#y", "pypi", "flask", "1rc1"),
        ("pkg:npm/left-pad@1.3.0", "npm", "left-pad", "1.3.0"),
        ("pkg:npm/left-pad@v1.3.0", "npm", "left-pad", "1.3.0"),
        ("pkg:npm/%40babel/core@7.0.0", "npm", "@babel/core", "7.0.0"),
        ("pkg:npm/@babel/core@7.0.0", "npm", "@babel/core", "7.0.0"),
        ("pkg:npm/@babel/core", "npm", "@babel/core", ""),
        ("pkg:npm/JSONStream@1.3.5", "npm", "jsonstream", "1.3.5"),
        ("pkg:maven/org.slf4j/slf4j-api@2.0.9?type=jar", "maven", "org.slf4j:slf4j-api", "2.0.9"),
        ("pkg:maven/org.slf4j/slf4j-api", "maven", "org.slf4j:slf4j-api", ""),
        ("pkg:cargo/Serde@1.0.200", "cargo", "serde", "1.0.200"),
        ("pkg:cargo/serde@1.0.0+build", "cargo", "serde", "1.0.0"),
        ("  pkg:npm/left-pad  ", "npm", "left-pad", ""),
    ],
)
def test_package_url__is_read_in_any_spelling(text: str, protocol: str, project: str, version: str) -> None:
    found = read_subject(text)
    assert (found.protocol, found.project, found.version, found.sha256) == (protocol, project, version, "")
    assert read_subject(found.purl) == found


def test_every_protocol__is_asked_about_and_takes_its_own_package_urls() -> None:
    for protocol in PROTOCOLS:
        project = "org.example:thing" if ":" in protocol.names.example else "thing"
        subject = Subject(protocol.name, project, alike=project)
        assert read_subject(subject.purl) == subject


def test_spellings_that_clients_take_for_one__are_alike() -> None:
    assert read_subject("pkg:cargo/my_crate").alike == read_subject("pkg:cargo/my-crate").alike


@pytest.mark.parametrize("text", [SHA256, SHA256.upper(), f"sha256:{SHA256}", f" {SHA256}\n"])
def test_digest__is_read(text: str) -> None:
    assert read_subject(text) == Subject(sha256=SHA256)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "flask",
        "pkg:",
        "pkg:npm",
        "pkg:npm/",
        "pkg:gem/rails@7",
        "pkg:generic/x",
        "pkg:npm/..%2f..@1.0.0",
        "pkg:npm/x@^1.0",
        "pkg:pypi/x@*",
        "pkg:maven/slf4j-api@1",
        "pkg:cargo/" + "x" * 100,
        "pkg:npm/" + "x" * 3000,
        "pkg:npm/x\x00@1.0.0",
        "pkg:npm/x\n@1.0.0",
        SHA256[:-1],
        "g" * 64,
        "GHSA-jfh8-c2jp-5v3q",
    ],
)
def test_anything_else__is_refused_with_what_is_expected(text: str) -> None:
    with pytest.raises(InvalidParameter, match="of: "):
        read_subject(text)
