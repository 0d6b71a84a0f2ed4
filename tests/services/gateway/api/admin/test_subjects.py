"""What operators may ask about, in every spelling of every protocol."""

from __future__ import annotations

import itertools

import pytest

from services.gateway.api.admin.subjects import Subject, read_subject
from shared.errors import InvalidParameter
from shared.protocols import PROTOCOLS
from shared.protocols.base import PackageProxyBase
from shared.protocols.package_urls import purl

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
        ("pkg:npm/JSONStream@1.3.5", "npm", "JSONStream", "1.3.5"),
        ("pkg:npm/@Corp/JSON.Stream_x@1.0.0", "npm", "@Corp/JSON.Stream_x", "1.0.0"),
        ("pkg:npm/~%27%21%28%29%2ax@1.0.0", "npm", "~'!()*x", "1.0.0"),
        ("pkg:npm/-@1.0.0+build", "npm", "-", "1.0.0+build"),
        ("pkg:maven/org.Example/Tool_X.core@1.0-RC1", "maven", "org.Example:Tool_X.core", "1.0-RC1"),
        ("pkg:maven/org.slf4j/slf4j-api@2.0~rc%2B1", "maven", "org.slf4j:slf4j-api", "2.0~rc+1"),
        ("pkg:cargo/My_Crate@1.0.0", "cargo", "my_crate", "1.0.0"),
        ("pkg:cargo/my-crate@1.0.0", "cargo", "my-crate", "1.0.0"),
        ("pkg:maven/org.slf4j/slf4j-api@2.0.9?type=jar", "maven", "org.slf4j:slf4j-api", "2.0.9"),
        ("pkg:maven/org.slf4j/slf4j-api", "maven", "org.slf4j:slf4j-api", ""),
        ("pkg:cargo/Serde@1.0.200", "cargo", "serde", "1.0.200"),
        ("pkg:cargo/serde@1.0.0+build", "cargo", "serde", "1.0.0"),
        ("  pkg:npm/left-pad  ", "npm", "left-pad", ""),
        ("pypi/Flask", "pypi", "flask", ""),
        ("pypi/flask@3.0.0", "pypi", "flask", "3"),
        ("npm/@babel/core", "npm", "@babel/core", ""),
        ("npm/@babel/core@7.0.0", "npm", "@babel/core", "7.0.0"),
        ("maven/org.slf4j:slf4j-api@2.0.9", "maven", "org.slf4j:slf4j-api", "2.0.9"),
        ("maven/org.slf4j/slf4j-api", "maven", "org.slf4j:slf4j-api", ""),
        ("cargo/Serde@1.0.200", "cargo", "serde", "1.0.200"),
    ],
)
def test_package_url__is_read_in_any_spelling(text: str, protocol: str, project: str, version: str) -> None:
    found = read_subject(text)
    assert (found.protocol, found.project, found.version, found.sha256) == (protocol, project, version, "")
    assert read_subject(found.purl) == found


ODD = [
    "thing",
    "Thing",
    "THING",
    "thing_odd",
    "thing-odd",
    "Thing.Odd",
    "thing..odd",
    "~thing",
    "thing!",
    "-",
]


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.name)
def test_names__are_one_subject_where_the_registry_takes_them_for_one(protocol: PackageProxyBase) -> None:
    names = protocol.names
    group = "org.Example:" if ":" in names.example else ""
    spelt = [group + each for each in ODD if names.is_project_name(group + each)]
    assert len(spelt) > 4
    for one, other in itertools.product(spelt, spelt):
        subjects = {read_subject(purl(protocol.name, each, "1.0.0")) for each in (one, other)}
        is_one = names.canonical_name(one) == names.canonical_name(other)
        assert len(subjects) == (1 if is_one else 2), (one, other)
    for each in spelt:
        found = read_subject(purl(protocol.name, each, "1.0.0"))
        assert found.project == names.canonical_name(each)
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


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("left-pad", "did you mean pkg:pypi/left-pad or pkg:npm/left-pad or pkg:cargo/left-pad"),
        ("left-pad@1.3.0", "pkg:npm/left-pad@1.3.0"),
        ("@babel/core@7.0.0", "did you mean pkg:npm/%40babel/core@7.0.0"),
        ("org.slf4j:slf4j-api", "did you mean pkg:maven/org.slf4j/slf4j-api"),
    ],
)
def test_bare_name__is_refused_with_the_package_urls_that_may_be_meant(text: str, meant: str) -> None:
    with pytest.raises(InvalidParameter) as refused:
        read_subject(text)
    assert meant in refused.value.message
    with pytest.raises(InvalidParameter) as refused:
        read_subject("x y")
    assert "did you mean" not in refused.value.message


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda each: each.name)
@pytest.mark.parametrize("name", ["*", "@corp/*", "corp-*", "@corp*", "corp/*", "*-lib"])
def test_pattern__where_one_package_is_meant__says_where_patterns_stand(
    protocol: PackageProxyBase, name: str
) -> None:
    for text in (f"pkg:{protocol.names.purl_type}/{name}", f"{protocol.name}/{name}@1.0.0"):
        with pytest.raises(InvalidParameter) as refused:
            read_subject(text)
        assert "is a pattern" in refused.value.message and "policy file" in (refused.value.hint or ""), text
