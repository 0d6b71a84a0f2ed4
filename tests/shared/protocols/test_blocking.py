"""Blocked versions and files leave documents, of each protocol, and nothing else does."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shared.errors import Blocked
from shared.models import SealedFile, UpstreamSource
from shared.policy.policy import Policy
from shared.policy.project import ProjectVerdicts
from shared.policy.rules import Block
from shared.protocols import protocol_named
from shared.protocols.pypi.blocking import file_version
from shared.protocols.pypi.names import SDISTS, SUFFIXES

SHA = "ab" * 32


def blocks(protocol: str, project: str, *versions: str, sha256: str = "") -> ProjectVerdicts:
    spelled = protocol_named(protocol)
    found = [Block(1, "why", protocol, project, spelled.names.canonical_version(each)) for each in versions]
    if sha256:
        found.append(Block(2, "malware", sha256=sha256))
    return Policy(found).of(protocol, project)


def document(protocol: str, identity: str, body: bytes, content_type: str = "application/json") -> bytes:
    source = UpstreamSource(1, protocol, "up", "https://packages.example.com/")
    spoken = protocol_named(protocol)
    read = spoken.documents.read_index(
        identity, source, url="https://packages.example.com/x", content_type=content_type, body=body
    )
    return bytes(read.body)


# --- PyPI -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filename", "version"),
    [
        ("a_b-1.0.0-py3-none-any.whl", "1"),
        ("a_b-1.0.0-py3-none-any.whl.metadata", "1"),
        ("a_b-1.0-1-py3-none-any.whl", "1"),
        ("a_b-1.0+local.1-py3-none-any.whl", "1+local.1"),
        ("a-b-2.0rc1.tar.gz", "2rc1"),
        ("A.B-2.0-rc1.zip", "2rc1"),
        ("a_b-1!3.0.post1.tar.gz.asc", "1!3.post1"),
        ("a_b-1.5-py2.7.egg", "1.5"),
        ("a-b-1.5.win32-py2.7.exe", "1.5"),
        *((f"a-b-2.0.0{suffix}", "2") for suffix in SUFFIXES),
        *((f"a-b-2.0.0+local{suffix}", "2+local") for suffix in SDISTS),
        *((f"a-b-1.0.linux-x86_64{suffix}", "1") for suffix in SDISTS),
        ("a-b-2.0.0.win32.zip", "2"),
        ("a-b-1.0-2.noarch.rpm", "1"),
        ("other-1.0.tar.gz", ""),
        ("a_b.whl", ""),
    ],
)
def test_file_version__each_kind_of_name(filename: str, version: str) -> None:
    assert file_version("a-b", filename) == version


def simple(*files: tuple[str, str]) -> bytes:
    page = {
        "meta": {"api-version": "1.1"},
        "name": "a-b",
        "versions": ["1.0", "2.0"],
        "files": [
            {
                "filename": name,
                "url": f"https://files.example.com/{name}",
                "hashes": {"sha256": digest} if digest else {},
            }
            for name, digest in files
        ],
    }
    return document("pypi", "simple/a-b", json.dumps(page).encode())


def shown(body: bytes) -> dict[str, Any]:
    return dict(json.loads(body)["page"])


PAGE = (("a_b-1.0-py3-none-any.whl", "11" * 32), ("a_b-1.0.tar.gz", SHA), ("a_b-2.0.tar.gz", "22" * 32))


def test_pypi_page__version_blocked_in_another_spelling__its_files_and_the_version_go() -> None:
    left = protocol_named("pypi").pages.without_blocked(
        "simple/a-b", simple(*PAGE), blocks("pypi", "a-b", "1"), {}
    )
    assert [each["filename"] for each in shown(left)["files"]] == ["a_b-2.0.tar.gz"]
    assert shown(left)["versions"] == ["2.0"]


def test_pypi_page__bytes_blocked__that_file_alone_goes() -> None:
    body = simple(*PAGE)
    left = protocol_named("pypi").pages.without_blocked(
        "simple/a-b", body, blocks("pypi", "a-b", sha256=SHA), {}
    )
    assert len(shown(left)["files"]) == 2
    assert shown(left)["versions"] == ["1.0", "2.0"]


def test_pypi_page__file_without_a_hash_sealed_with_blocked_bytes__goes() -> None:
    body = simple(("a_b-1.0.tar.gz", ""))
    pypi = protocol_named("pypi")
    stable = pypi.documents.decode_document(body).stable_id("a_b-1.0.tar.gz")
    sealed = {(stable, "a_b-1.0.tar.gz"): SealedFile("a_b-1.0.tar.gz", stable, SHA, 5)}
    left = pypi.pages.without_blocked("simple/a-b", body, blocks("pypi", "a-b", sha256=SHA), sealed)
    assert shown(left)["files"] == []


def legacy(version: str, identity: str = "json/a-b") -> bytes:
    def file(each: str) -> dict[str, Any]:
        digest = SHA if each == "1.0" else "22" * 32
        where = f"https://files.example.com/{each}"
        return {"filename": f"a_b-{each}.tar.gz", "url": where, "digests": {"sha256": digest}}

    releases = {each: [file(each)] for each in ("1.0", "2.0")}
    info = {"name": "a-b", "version": version, "requires_dist": ["c"]}
    body = {"info": info, "urls": releases[version], "releases": releases}
    return document("pypi", identity, json.dumps(body).encode())


def test_pypi_legacy_document__other_versions_go_and_its_own_is_refused() -> None:
    pypi = protocol_named("pypi")
    left = pypi.pages.without_blocked("json/a-b", legacy("2.0"), blocks("pypi", "a-b", "1.0"), {})
    assert list(shown(left)["releases"]) == ["2.0"]
    one = "json/a-b/2.0"
    with pytest.raises(Blocked, match="why"):
        pypi.pages.without_blocked(one, legacy("2.0", one), blocks("pypi", "a-b", "2.0.0"), {})
    with pytest.raises(Blocked, match="why"):
        pypi.pages.without_blocked("json/a-b", legacy("2.0"), blocks("pypi", "a-b", "2.0.0", "1.0"), {})


@pytest.mark.parametrize("gone", [blocks("pypi", "a-b", "1.0"), blocks("pypi", "a-b", sha256=SHA)])
def test_pypi_legacy_document__its_newest_version_goes__tells_of_the_newest_that_is_left(
    gone: ProjectVerdicts,
) -> None:
    left = shown(protocol_named("pypi").pages.without_blocked("json/a-b", legacy("1.0"), gone, {}))
    assert [each["filename"] for each in left["urls"]] == ["a_b-2.0.tar.gz"]
    assert left["info"] == {"name": "a-b", "version": "2.0", "requires_dist": None, "requires_python": None}


# --- npm ----------------------------------------------------------------------------------------------------


def packument(*versions: str, latest: str) -> bytes:
    start = "https://packages.example.com/x/-"
    dist = {v: {"tarball": f"{start}/x-{v}.tgz", "shasum": "0" * 40} for v in versions}
    body = {
        "name": "x",
        "dist-tags": {"latest": latest, "next": versions[-1]},
        "versions": {v: {"name": "x", "version": v, "dist": dist[v]} for v in versions},
    }
    return document("npm", "packument/x", json.dumps(body).encode())


def rendered(body: bytes) -> dict[str, Any]:
    npm = protocol_named("npm")
    page = npm.pages.rewrite_index(
        "packument/x", npm.documents.decode_document(body), sealed={}, base_url="http://o/npm"
    )
    return dict(json.loads(page["full"].body))


def test_npm_packument__latest_blocked__the_newest_release_that_is_left_takes_its_place() -> None:
    body = packument("1.9.0", "1.10.0", "2.0.0", "3.0.0-rc.1", latest="2.0.0")
    left = protocol_named("npm").pages.without_blocked("packument/x", body, blocks("npm", "x", "v2.0.0"), {})
    page = rendered(left)
    assert list(page["versions"]) == ["1.9.0", "1.10.0", "3.0.0-rc.1"]
    assert page["dist-tags"] == {"latest": "1.10.0", "next": "3.0.0-rc.1"}


def test_npm_packument__bytes_of_a_stored_tarball_blocked__its_version_goes() -> None:
    body = packument("1.0.0", "2.0.0", latest="2.0.0")
    sealed = {("-", "x-1.0.0.tgz"): SealedFile("x-1.0.0.tgz", "-", SHA, 5)}
    left = protocol_named("npm").pages.without_blocked(
        "packument/x", body, blocks("npm", "x", sha256=SHA), sealed
    )
    assert list(rendered(left)["versions"]) == ["2.0.0"]


def test_npm_document_of_a_blocked_version__refused() -> None:
    body = {
        "name": "x",
        "version": "1.0.0",
        "dist": {"tarball": "https://packages.example.com/x/-/x-1.0.0.tgz"},
    }
    stored = document("npm", "version/x/latest", json.dumps(body).encode())
    npm = protocol_named("npm")
    with pytest.raises(Blocked, match=r"x 1\.0\.0 is blocked: why"):
        npm.pages.without_blocked("version/x/latest", stored, blocks("npm", "x", "1.0.0"), {})
    assert npm.pages.without_blocked("version/x/latest", stored, blocks("npm", "x", "2.0.0"), {}) is stored


def test_npm_packument__version_spelled_loosely_there__goes_too() -> None:
    body = packument("v1.0.0", "2.0.0", latest="2.0.0")
    left = protocol_named("npm").pages.without_blocked("packument/x", body, blocks("npm", "x", "1.0.0"), {})
    assert list(rendered(left)["versions"]) == ["2.0.0"]


# --- Maven ------------------------------------------------------------------------------------------------

METADATA = b"""<metadata><groupId>g</groupId><artifactId>a</artifactId><versioning>
<latest>2.0-SNAPSHOT</latest><release>1.10</release>
<versions><version>1.9</version><version>1.10</version><version>2.0-SNAPSHOT</version></versions>
<lastUpdated>20260101000000</lastUpdated></versioning></metadata>"""


def test_maven_metadata__release_blocked__the_newest_that_is_left_takes_its_place() -> None:
    maven = protocol_named("maven")
    left = maven.pages.without_blocked("metadata/g/a", METADATA, blocks("maven", "g:a", "1.10"), {})
    assert b"1.10" not in left
    assert b"<release>1.9</release>" in left
    assert b"<latest>2.0-SNAPSHOT</latest>" in left
    assert b"20260101000000" in left
    pages = maven.pages.rewrite_index("metadata/g/a", left, sealed={}, base_url="")
    assert {"xml", "sha1", "md5"} <= pages.keys()


@pytest.mark.parametrize(
    ("path", "version"),
    [
        (b"/g/a/maven-metadata.xml", ""),
        (b"/g/a/1.0-SNAPSHOT/maven-metadata.xml", "1.0-SNAPSHOT"),
        (b"/g/a/1.0-SNAPSHOT/a-1.0-SNAPSHOT.pom", "1.0-SNAPSHOT"),
        (b"/g/a/1.0-SNAPSHOT/a-1.0-20260101.010101-1.jar", "1.0-SNAPSHOT"),
        (b"/g/a/1.0/a-1.0.jar.sha1", "1.0"),
    ],
)
def test_maven_request__version_asked(path: bytes, version: str) -> None:
    maven = protocol_named("maven")
    resource = maven.grammar.classify("GET", path, b"", {})
    assert maven.grammar.version_asked(resource) == version  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("path", "version"),
    [
        (b"/x", ""),
        (b"/x/1.0.0", "1.0.0"),
        (b"/x/latest", ""),
        (b"/x/v1.0.0", "1.0.0"),
        (b"/@s/x/-/x-1.0.0.tgz", "1.0.0"),
        (b"/@s/x/-/@s/x-1.0.0.tgz", "1.0.0"),
        (b"/@s/x/-/s-x-1.0.0-rc.1.tgz", "1.0.0-rc.1"),  # an upstream's own names
        (b"/@s/x/-/x-lite-1.0.0.tgz", "1.0.0"),
        (b"/x/-/x-v1.0.0.tgz", "1.0.0"),
        (b"/x/-/other.tgz", ""),
        (b"/-/npm/v1/attestations/x@1.0.0", "1.0.0"),
        (b"/-/package/x/dist-tags", ""),
    ],
)
def test_npm_request__version_asked(path: bytes, version: str) -> None:
    npm = protocol_named("npm")
    assert npm.grammar.version_asked(npm.grammar.classify("GET", path, b"", {})) == version  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["pypi", "npm", "maven"])
def test_nothing_of_it_in_the_document__the_very_bytes(name: str) -> None:
    identity, body = {
        "pypi": ("simple/a-b", simple(*PAGE)),
        "npm": ("packument/x", packument("1.0.0", latest="1.0.0")),
        "maven": ("metadata/g/a", METADATA),
    }[name]
    protocol = protocol_named(name)
    project = protocol.grammar.project_of(identity)
    others = blocks(name, project, "9.9.9", sha256="ff" * 32)
    assert protocol.pages.without_blocked(identity, body, others, {}) is body
