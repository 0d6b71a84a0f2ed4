"""Reading POMs: declared dependencies, and hostile documents."""

from __future__ import annotations

import io

import pytest

from shared.models import Extraction, FileName
from shared.protocols.maven import MavenProxy
from shared.protocols.maven.upstream import file_entry
from tests.support.maven_builders import Dep, build_pom

MAVEN = MavenProxy()


def extract(body: bytes) -> Extraction:
    extraction, raw = MAVEN.archive.extract("a-1.pom", io.BytesIO(body), len(body))
    assert raw is None
    return extraction


def test_declared__scope_optional_exclusions_classifier__kept() -> None:
    exclusions = (
        "<exclusions><exclusion><groupId>x</groupId><artifactId>*</artifactId></exclusion></exclusions>"
    )
    found = extract(
        build_pom(
            "g",
            "a",
            "1",
            [
                Dep("b", "b", "[1,2)"),
                Dep("c", "c", "${c.version}", scope="test", optional=True),
                Dep("d", "d", "3", extra="<type>zip</type><classifier>bin</classifier>" + exclusions),
                Dep("e", "e"),
            ],
        )
    )
    assert (found.state, found.name, found.version) == ("extracted", "g:a", "1")
    requirements = ["b:b:[1,2)", "c:c:${c.version}", "d:d:zip:bin:3 !x:*", "e:e"]
    assert [each.requirement for each in found.dependencies] == requirements
    assert [each.kind for each in found.dependencies] == ["compile", "test", "compile", "compile"]
    assert [each.optional for each in found.dependencies] == [False, True, False, False]
    assert [each.marker for each in found.dependencies] == ["", "unresolved", "", ""]


def test_declared__names_of_characters__as_maven_reads_them() -> None:
    body = build_pom("g", "a", "1", [Dep("b", "b", "1")], extra="<name>Laugst&oslash;l &amp; co</name>")
    assert extract(body).state == "extracted"


def test_declared__group_and_version_from_the_parent() -> None:
    parent = "<parent><groupId>p</groupId><artifactId>pp</artifactId><version>7</version></parent>"
    body = f"<project>{parent}<artifactId>a</artifactId></project>".encode()
    assert (extract(body).name, extract(body).version) == ("p:a", "7")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html/>",
        b'<!DOCTYPE project [<!ENTITY a SYSTEM "file:///etc/passwd">]><project>&a;</project>',
        b"<project>" + b"<x>" * 200_000 + b"</x>" * 200_000 + b"</project>",
        b"<project>&unknown;</project>",
        b"<project><dependencies><dependency><groupId>g</groupId></dependency></dependencies></project>",
        b"x" * (5 * 1024 * 1024),
        build_pom("g", "a", "1", [Dep("b", f"b{number}", "1") for number in range(10_001)]),
    ],
    ids=["empty", "page", "entity", "deep", "unknown name", "no artifact", "large", "many"],
)
def test_hostile__unextractable_with_a_reason(body: bytes) -> None:
    found = extract(body)
    assert found.state == "unextractable" and found.reason


def test_file_entry__address_and_checksums_follow_from_the_name() -> None:
    entry = file_entry("http://repo.example/r?token=t", FileName("maven", "a.b:c", "1", "c-1.jar"))
    assert entry.url == "http://repo.example/r/a/b/c/1/c-1.jar?token=t"
    assert entry.checksum_urls["sha1"] == "http://repo.example/r/a/b/c/1/c-1.jar.sha1?token=t"
