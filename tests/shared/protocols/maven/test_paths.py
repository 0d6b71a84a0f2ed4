"""The grammar: what each path names, and what is refused before a key is made."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import (
    Blocked,
    BuildSealed,
    FileNotFound,
    MalformedRequest,
    MethodNotAllowed,
    NotInView,
    OrchardError,
    ProjectNotFound,
    RouteNotFound,
    UriTooLong,
)
from shared.errors.base import PROBLEM, problem_of
from shared.models import FileName, UpstreamSource
from shared.protocols.maven import MavenProxy
from shared.protocols.resource import Resource

MAVEN = MavenProxy()


def classify(path: bytes, method: str = "GET") -> Resource:
    return MAVEN.grammar.classify(method, path, b"", {})


@pytest.mark.parametrize(
    ("path", "project", "version", "filename", "sidecar"),
    [
        (b"/junit/junit/4.13/junit-4.13.jar", "junit:junit", "4.13", "junit-4.13.jar", ""),
        (b"/a/b/c/1/c-1.pom", "a.b:c", "1", "c-1.pom", ""),
        (b"/a/b/c/1/c-1-sources.jar", "a.b:c", "1", "c-1-sources.jar", ""),
        (b"/a/b/c/1-b/c-1-b.tar.gz", "a.b:c", "1-b", "c-1-b.tar.gz", ""),
        (b"/a/b/c/1/c-1.module", "a.b:c", "1", "c-1.module", ""),
        (b"/a/b/c/1/c-1.jar.asc", "a.b:c", "1", "c-1.jar.asc", ""),
        (b"/a/b/c/1/c-1.jar.asc.sha1", "a.b:c", "1", "c-1.jar.asc", "sha1"),
        (b"/a/b/c/1/c-1.jar.sha512", "a.b:c", "1", "c-1.jar", "sha512"),
        (b"/a/x_2.13/1%2B2/x_2.13-1+2.jar", "a:x_2.13", "1+2", "x_2.13-1+2.jar", ""),
        (b"/a/c/1-SNAPSHOT/c-1-20240101.120000-7.jar", "a:c", "1-SNAPSHOT", "c-1-20240101.120000-7.jar", ""),
        # Services that build what a branch or a commit holds.
        (b"/a/r/-7d2306cde8-1/r--7d2306cde8-1.pom", "a:r", "-7d2306cde8-1", "r--7d2306cde8-1.pom", ""),
        (b"/a/r/v1.0/r-v1.0.jar", "a:r", "v1.0", "r-v1.0.jar", ""),
        (b"/a/r/x~y/r-x~y.jar", "a:r", "x~y", "r-x~y.jar", ""),
        # Files that are not named as their artifact and version: sbt before 1.9, Ivy, Gradle's modules.
        (b"/a/s_2.12_1.0/1.2.0/s-1.2.0.pom", "a:s_2.12_1.0", "1.2.0", "s-1.2.0.pom", ""),
        (
            b"/a/s_2.12_1.0/1.2.0/s-1.2.0-sources.jar.md5",
            "a:s_2.12_1.0",
            "1.2.0",
            "s-1.2.0-sources.jar",
            "md5",
        ),
        (b"/a/s_2.12_1.0/v1/s-v1.jar", "a:s_2.12_1.0", "v1", "s-v1.jar", ""),
        (b"/a/c/1/ivy-1.xml", "a:c", "1", "ivy-1.xml", ""),
        (b"/a/c/1/ivy-1.xml.sha1", "a:c", "1", "ivy-1.xml", "sha1"),
        (b"/a/c/1/other-lib-1.klib", "a:c", "1", "other-lib-1.klib", ""),
        (b"/a/c/1/c.klib", "a:c", "1", "c.klib", ""),
        (b"/a/c/1/c-2.jar", "a:c", "1", "c-2.jar", ""),
        (b"/a/c/7d2306cde8/ivy.xml", "a:c", "7d2306cde8", "ivy.xml", ""),
        (b"/a/c/1-SNAPSHOT/o-1-20240101.120000-7.pom", "a:c", "1-SNAPSHOT", "o-1-20240101.120000-7.pom", ""),
    ],
)
def test_path__names_a_file__by_group_artifact_and_version_folder(
    path: bytes, project: str, version: str, filename: str, sidecar: str
) -> None:
    resource = classify(path)
    assert (resource.kind, resource.direct, resource.honours_no_cache) == ("artifact", True, False)
    assert (resource.project, resource.version, resource.file_id) == (project, version, version)
    assert (resource.filename, resource.sidecar) == (filename, sidecar)
    assert resource.identity == f"{project}/{version}/{filename}"
    if not sidecar:
        assert MAVEN.grammar.artifact_resource(FileName("maven", project, version, filename)) == resource


@pytest.mark.parametrize(
    ("path", "identity", "representation", "project"),
    [
        (b"/a/b/c/maven-metadata.xml", "metadata/a/b/c", "xml", "a.b:c"),
        (b"/a/b/c/maven-metadata.xml.sha1", "metadata/a/b/c", "sha1", "a.b:c"),
        (b"/a/c/1-SNAPSHOT/maven-metadata.xml", "metadata/a/c/1-SNAPSHOT", "xml", "a:c"),
        (b"/a/maven-metadata.xml", "metadata/a", "xml", ""),
        (b"/a/r/-SNAPSHOT/maven-metadata.xml", "metadata/a/r/-SNAPSHOT", "xml", "a:r"),
        (b"/a/r/-SNAPSHOT/r--SNAPSHOT.pom", "snapshot/a/r/-SNAPSHOT/r--SNAPSHOT.pom", "file", "a:r"),
        (b"/a/c/1-SNAPSHOT/s-1.pom", "snapshot/a/c/1-SNAPSHOT/s-1.pom", "file", "a:c"),
        (b"/archetype-catalog.xml", "snapshot/archetype-catalog.xml", "file", ""),
        (b"/archetype-catalog.xml.sha1", "snapshot/archetype-catalog.xml", "sha1", ""),
        (b"/a/c/1-SNAPSHOT/c-1-SNAPSHOT.pom", "snapshot/a/c/1-SNAPSHOT/c-1-SNAPSHOT.pom", "file", "a:c"),
        (
            b"/a/c/1-SNAPSHOT/c-1-SNAPSHOT-x.module.md5",
            "snapshot/a/c/1-SNAPSHOT/c-1-SNAPSHOT-x.module",
            "md5",
            "a:c",
        ),
    ],
)
def test_path__names_something_that_changes__an_index(
    path: bytes, identity: str, representation: str, project: str
) -> None:
    resource = classify(path)
    assert (resource.kind, resource.honours_no_cache) == ("index", False)
    assert (resource.identity, resource.representation) == (identity, representation)
    assert resource.project == MAVEN.grammar.project_of(identity) == project


def test_path__names_a_file_that_may_change_and_be_large__an_artifact_behind_a_pointer() -> None:
    resource = classify(b"/a/c/1-SNAPSHOT/c-1-SNAPSHOT-x.jar.md5")
    assert (resource.kind, resource.sidecar, resource.version) == ("artifact", "md5", "1-SNAPSHOT")
    assert resource.pointer == "pointer/a/c/1-SNAPSHOT/c-1-SNAPSHOT-x.jar"
    assert MAVEN.grammar.project_of(resource.pointer) == "a:c"
    one = MAVEN.grammar.artifact_resource(FileName("maven", "a:c", "1-SNAPSHOT:beef", "c-1-SNAPSHOT-x.jar"))
    assert (one.version, one.file_id, one.pointer) == ("1-SNAPSHOT", "1-SNAPSHOT:beef", "")
    path = MAVEN.grammar.artifact_path(one.file)
    assert path == "/a/c/1-SNAPSHOT/c-1-SNAPSHOT-x.jar"


@pytest.mark.parametrize(
    "path",
    [
        b"/a/../b/c/1/c-1.jar",
        b"/a/./c/1/c-1.jar",
        b"/a/%2e%2e/c/1/c-1.jar",
        b"/a/%2E./c/1/c-1.jar",
        b"/a%2fc/1/c-1.jar",
        b"/a//c/1/c-1.jar",
        b"/a/c/1/c-1%00.jar",
        b"/a/c/1/c-1\\x.jar",
        b"/a/c/1/c-1;x.jar",
        b"/a/c/1/c-1.j%ffr",
    ],
)
def test_path__hostile__400(path: bytes) -> None:
    with pytest.raises(MalformedRequest):
        classify(path)


@pytest.mark.parametrize(
    "path",
    [
        b"/",
        b"/a",
        b"/a/",
        b"/a/b/c/1.0",
        b"/a/b/c/1.0/",
        b"/a/c/1/c-1.jar/",
        b"/maven-metadata.xml",
        b"/a/c/1/c-1.jar.sha1.sha1",
        b"/a/c/1/c-1.jar.md5.sha256",
        b"/a/c/maven-metadata.xml.sha1.md5",
        b"/a.b/c/1/c-1.jar",
        b"/.index/c/1/c-1.jar",
        b"/a/c/1/c-1.jar%3Fx",
        b"/a/b/archetype-catalog.xml",
        b"/a/c/1/c-1",
        b"/a/c/1/c-1.",
        b"/a/c/1/-1.jar",
        b"/a/3d/1.0",
        b"/a/b/c/d.jar",  # c can be an artifact as well as a version
        b"/a/r/v1.0/x~y/r-x~y.jar",  # a version of two folders
        b"/a/r/v1.0/x~y/r-v1.0/x~y.pom",
        b"/a/-/1/c-1.jar",
        b"/-a/c/1/c-1.jar",
        b"/a/r/-1/maven-metadata.xml",
    ],
)
def test_path__no_file_and_no_metadata__404(path: bytes) -> None:
    with pytest.raises(RouteNotFound):
        classify(path)


@pytest.mark.parametrize(
    "file",
    [
        "s-1.2.0.pom",
        "ivy-1.2.0.xml",
        "other-1.jar",
        "x.klib",
        "s_2.12-1.2.0.jar",
        "s_2.12-9.9.jar",
        "s-1.2.0.pom.asc",
    ],
)
def test_file_of_any_name__is_of_the_project_and_version_whose_folder_it_lies_in(file: str) -> None:
    resource = classify(f"/com/corp/s_2.12/1.2.0/{file}".encode())
    assert (resource.project, MAVEN.grammar.version_asked(resource)) == ("com.corp:s_2.12", "1.2.0")
    path = MAVEN.grammar.artifact_path(FileName("maven", "com.corp:s_2.12", "1.2.0", file))
    assert path == f"/com/corp/s_2.12/1.2.0/{file}"
    mutable = classify(f"/com/corp/s_2.12/1.2.0-SNAPSHOT/{file}".encode())
    assert (mutable.project, MAVEN.grammar.version_asked(mutable)) == ("com.corp:s_2.12", "1.2.0-SNAPSHOT")
    assert MAVEN.grammar.project_of(mutable.pointer or mutable.identity) == "com.corp:s_2.12"
    assert mutable.kind == "index" or mutable.pointer  # without a build in its name it may change


@pytest.mark.parametrize(
    "tail",
    [
        "3d/1/2/3d-1/2.pom",  # version 1/2
        "3d/v1/2/3/3d-v1/2/3.jar",
        "lib/1/lib-1-x/1/y.jar",  # classifier x/1/y
        "lib/1/lib-1.x/1/y.jar",  # type x/1/y.jar
        "lib/1-SNAPSHOT/2/lib-1-SNAPSHOT/2.pom",
    ],
)
def test_slashes_in_a_version_classifier_or_type__no_other_project(tail: str) -> None:
    with pytest.raises(RouteNotFound):
        classify(f"/com/corp/{tail}".encode())


def test_catalogue_of_archetypes__pins_nothing_and_is_of_no_project() -> None:
    identity = "snapshot/archetype-catalog.xml"
    assert not MAVEN.documents.lists_files(identity, b"<archetype-catalog/>")
    source = UpstreamSource(1, "maven", "maven", "http://x/m/")
    assert MAVEN.upstream.upstream_request(identity, source).url == "http://x/m/archetype-catalog.xml"
    assert MAVEN.grammar.version_asked(classify(b"/archetype-catalog.xml")) == ""


def test_path__too_long_or_not_a_read__refused() -> None:
    with pytest.raises(UriTooLong):
        classify(b"/a" * 2000)
    with pytest.raises(MethodNotAllowed):
        classify(b"/a/c/1/c-1.jar", "PUT")


@given(st.binary(max_size=60))
def test_path__anything__a_resource_or_a_refusal(tail: bytes) -> None:
    try:
        resource = classify(b"/" + tail)
    except OrchardError:
        return
    assert b".." not in tail.split(b"/")
    assert "#" not in resource.identity  # separates the rows of single sources (merged_index.py)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (FileNotFound, "application/json"),
        (ProjectNotFound, "application/json"),
        (RouteNotFound, "application/json"),
        (Blocked, PROBLEM),
        (NotInView, PROBLEM),
        (BuildSealed, PROBLEM),
    ],
)
def test_error__mere_absence__no_problem_document_which_maven_fails_at(
    error: type[OrchardError], kind: str
) -> None:
    told, body = MAVEN.grammar.error_body(problem_of(error("why"), "r-1"))
    assert told == kind
    assert json.loads(body)["detail"] == "why"
