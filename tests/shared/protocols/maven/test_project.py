"""A pom.xml as a requirement: one spelling, within bounds."""

from __future__ import annotations

import json

import pytest

from shared.errors import EnsureInvalid, InvalidParameter
from shared.protocols.maven.project import (
    MAX_PROJECT_BYTES,
    canonical_project,
    is_project,
    read_project,
)
from shared.resolving.ensure_file import manifest_kind, read_json, read_manifest

POM = """<?xml version="1.0" encoding="UTF-8"?>
<!-- of a test -->
<project xmlns="http://maven.example.com/POM/4.0.0">
  <parent><groupId>com.example</groupId><artifactId>parent</artifactId><version>1</version></parent>
  <artifactId>app</artifactId>
  <properties><b>2</b><a>1</a></properties>
  <modules><module>core</module><module>core</module><module>../web</module></modules>
  <dependencies><dependency><groupId>g</groupId><artifactId>lib</artifactId></dependency></dependencies>
</project>
"""


def test_equal_poms__one_text__which_reads_back_as_itself() -> None:
    text = canonical_project(POM)
    other = POM.replace("<b>2</b><a>1</a>", "<a>1</a>\n<b> 2 </b>").replace("of a test", "of another")
    assert canonical_project("\ufeff\n" + other.partition("?>")[2]) == canonical_project(text) == text
    project = read_project(text)
    assert (project.pom.group, project.pom.version, project.modules) == (
        "com.example",
        "1",
        ("core", "../web"),
    )


@pytest.mark.parametrize(("text", "is_one"), [(POM, True), (canonical_project(POM), True), ("g:a:1", False)])
def test_is_project__by_how_it_begins(text: str, is_one: bool) -> None:
    assert is_project(text) is is_one


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<a/>", "its root element is not project"),
        ("<project>", "not well-formed"),
        ("<!DOCTYPE project [<!ENTITY b 'c'>]><project>&b;</project>", "DOCTYPE"),
        ("<project>" + "<a>" * 100, "nested deeper than 64"),
        ("<project/>" + " " * MAX_PROJECT_BYTES, f"at most {MAX_PROJECT_BYTES} bytes"),
        ("<project><dependencies><dependency/></dependencies></project>", "without group or artifact"),
        (f"<project><artifactId>{'x' * 600}</artifactId></project>", "more than 512 characters"),
        ('{"pom": 1}', "does not read such a POM"),
        ('{"pom": {"format": 99, "group": "", "artifact": "", "version": "", "own": {}}}', "such a POM"),
    ],
)  # fmt: skip
def test_what_is_wrong__is_told(text: str, said: str) -> None:
    with pytest.raises(InvalidParameter) as error:
        read_project(text)
    assert said in error.value.message and len(error.value.message) < 400
    with pytest.raises(EnsureInvalid) as invalid:
        read_manifest("pom.xml", text)
    assert invalid.value.message.startswith("maven.project: ") and said in invalid.value.message


@pytest.mark.parametrize(
    ("name", "kind"),
    [("pom.xml", "pom.xml"), ("effective-pom.xml", "pom.xml"), ("app-1.0.pom", "pom.xml"),
     ("verification-metadata.xml", ""), ("orchard.ensure", ""), ("", "")],
)  # fmt: skip
def test_manifest_kind__by_the_name(name: str, kind: str) -> None:
    assert manifest_kind(name) == kind


def test_as_an_ensure_file__it_reads_back_as_the_same__beside_plugins_and_no_coordinates() -> None:
    file = read_manifest("pom.xml", POM)
    assert file.canonical["maven"]["project"] == canonical_project(POM)
    assert read_json(file.document) == file
    table = {"project": POM, "plugins": ["com.example:a-plugin:1"]}
    assert len(read_json(json.dumps({"maven": table})).plans[0].requests) == 2
    with pytest.raises(EnsureInvalid, match="a POM is resolved by itself"):
        read_json(json.dumps({"maven": {**table, "dependencies": ["g:a:1"]}}))
