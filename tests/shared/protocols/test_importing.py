"""What an index says of imported files is what is in them, in each protocol."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest

from shared.protocols import protocol_named
from shared.protocols.roles.importing import Damaged, Imported, Told
from tests.support.builders import build_wheel
from tests.support.cargo_builders import build_crate
from tests.support.maven_builders import build_jar, build_pom
from tests.support.npm_builders import build_tarball

ADDRESS = "https://imported.invalid/x/"


def taken(protocol: str, path: str, content: bytes, beside: Mapping[str, bytes] | None = None) -> Imported:
    role, parts = protocol_named(protocol).importing, tuple(path.split("/"))
    assert role.may_be(parts)
    listed = role.read(parts, io.BytesIO(content), len(content), (beside or {}).get)
    digests = {name: hashlib.new(name, content).hexdigest() for name in ("sha512", "sha1", "md5")}
    return Imported(listed, hashlib.sha256(content).hexdigest(), len(content), digests)


def page(protocol: str, path: str, files: Sequence[Imported]) -> bytes:
    role = protocol_named(protocol).importing
    assert role.project_at(path) == (files[0].listed.project if files else role.project_at(path))
    found = role.page(path, ADDRESS, files)
    assert found is not None
    return found.body


def test_simple_page__tells_digest_size_and_python() -> None:
    wheel = build_wheel("Acme_App", "1.0", requires_python=">=3.9")
    file = taken("pypi", "some/Acme_App-1.0-py3-none-any.whl", wheel)
    assert file.listed.project == "acme-app"
    entry = msgspec.json.decode(page("pypi", "acme-app/", [file]))["files"][0]
    assert entry == {
        "filename": "Acme_App-1.0-py3-none-any.whl",
        "url": "Acme_App-1.0-py3-none-any.whl",
        "hashes": {"sha256": file.sha256},
        "size": len(wheel),
        "requires-python": ">=3.9",
    }


def _npm(versions: Sequence[str], **options: Any) -> list[Imported]:
    return [taken("npm", f"{each}.tgz", build_tarball("@acme/app", each, **options)) for each in versions]


def test_packument__lists_versions_with_their_digests() -> None:
    manifest = {"dependencies": {"left": "^1"}, "scripts": {"install": "x"}, "secret": "kept to itself"}
    files = _npm(["1.0.0"], manifest=manifest)
    found = msgspec.json.decode(page("npm", "@acme/app", files))["versions"]["1.0.0"]
    assert found["dependencies"] == {"left": "^1"}
    assert found["hasInstallScript"] is True
    assert not {"secret", "scripts"} & found.keys()
    assert found["dist"]["shasum"] == files[0].digests["sha1"]
    assert found["dist"]["tarball"] == f"{ADDRESS}@acme/app/-/app-1.0.0.tgz"
    assert msgspec.json.decode(page("npm", "@acme/app/1.0.0", files)) == found


@pytest.mark.parametrize(
    ("versions", "latest"),
    [
        (["1.0.0", "1.10.0", "1.9.0"], "1.10.0"),
        (["1.0.0", "2.0.0-rc.1"], "1.0.0"),
        (["1.0.0-a", "1.0.0-b"], "1.0.0-b"),
    ],
)
def test_latest__is_the_highest_release(versions: list[str], latest: str) -> None:
    found = msgspec.json.decode(page("npm", "@acme/app", _npm(versions)))
    assert found["dist-tags"] == {"latest": latest}


def test_tags_of_the_store__are_taken_for_what_it_has() -> None:
    listed = {each: {"name": "@acme/app", "version": each} for each in ("1.0.0", "2.0.0")}
    packument = {"name": "@acme/app", "versions": listed, "dist-tags": {"latest": "1.0.0", "next": "2.0.0"}}
    beside = {"package.json": msgspec.json.encode(packument)}
    files = [
        taken("npm", f"@acme/app/app-{each}.tgz", build_tarball("@acme/app", each), beside) for each in listed
    ]
    found = msgspec.json.decode(page("npm", "@acme/app", files))
    assert found["dist-tags"] == {"latest": "1.0.0", "next": "2.0.0"}


def test_maven_metadata__lists_versions_in_mavens_order() -> None:
    files = [
        taken("maven", f"com/acme/app/{each}/app-{each}.jar", build_jar("app"))
        for each in ("1.10", "1.9", "1.0-rc1")
    ]
    found = ElementTree.fromstring(page("maven", "com/acme/app/maven-metadata.xml", files))
    assert [each.text for each in found.iter("version")] == ["1.0-rc1", "1.9", "1.10"]
    assert found.findtext("versioning/release") == "1.10"


def test_maven_layout__begins_where_the_pom_says() -> None:
    pom = build_pom("com.acme", "app", "1.0")
    file = taken("maven", "backup/m2/com/acme/app/1.0/app-1.0.jar", build_jar("app"), {"app-1.0.pom": pom})
    assert (file.listed.project, file.listed.path) == ("com.acme:app", "com/acme/app/1.0/app-1.0.jar")


def test_index_line__is_what_the_manifest_says() -> None:
    manifest = """links = "z"
rust-version = "1.70"
[dependencies]
plain = "1"
renamed = {version = "2", package = "other", default-features = false, features = ["x"], optional = true}
[target.'cfg(unix)'.build-dependencies]
cc = "1.0"
[features]
default = ["std"]
std = []
new = ["dep:renamed"]
"""
    file = taken("cargo", "acme-core-0.3.0.crate", build_crate("acme-core", "0.3.0", manifest=manifest))
    line = msgspec.json.decode(page("cargo", "ac/me/acme-core", [file]))
    assert (line["name"], line["vers"], line["cksum"]) == ("acme-core", "0.3.0", file.sha256)
    assert (line["links"], line["rust_version"], line["v"]) == ("z", "1.70", 2)
    assert (line["features"], line["features2"]) == (
        {"default": ["std"], "std": []},
        {"new": ["dep:renamed"]},
    )
    plain, renamed, cc = line["deps"]
    assert (plain["name"], plain["req"], plain["kind"]) == ("plain", "1", "normal")
    assert (renamed["package"], renamed["default_features"], renamed["optional"]) == ("other", False, True)
    assert (cc["target"], cc["kind"]) == ("cfg(unix)", "build")


def test_config__says_where_crates_are() -> None:
    assert msgspec.json.decode(page("cargo", "config.json", [])) == {"dl": f"{ADDRESS}crates"}


@pytest.mark.parametrize(
    ("manifest", "why"),
    [
        ('[dependencies]\nx = {version = "not a version"}\n', "requirement"),
        ("[dependencies]\nx = 5\n", ""),
        ("features = 5\n", ""),
        ("links = 5\n", "invalid"),
    ],
)
def test_manifest_that_cargo_would_refuse__is_damaged_or_says_nothing(manifest: str, why: str) -> None:
    crate = build_crate("acme-core", "0.3.0", manifest=manifest)
    try:
        taken("cargo", "a.crate", crate)
    except Damaged as error:
        assert why in str(error)
    else:
        assert not why


@pytest.mark.parametrize(
    ("digest", "fits"),
    [("ab" * 32, True), ("ab" * 8, True), ("ab" * 7, False), ("", False), ("cd" * 32, False)],
)
def test_told_digest__fits_whole_or_by_a_beginning_that_tells(digest: str, fits: bool) -> None:
    assert Told(("sha256", "md5"), digest).fits({"sha256": "ab" * 32, "md5": "ef" * 16}) is fits


@pytest.mark.parametrize(
    ("protocol", "paths"),
    [
        ("pypi", ["../x", "a/b", "A", "a b", ""]),
        ("npm", ["../x", "@a", "node_modules", "a/../b"]),
        ("maven", ["maven-metadata.xml", "a/maven-metadata.xml", "a/b/x.jar", "a/../b/maven-metadata.xml"]),
        ("cargo", ["acme", "ac/me/other", "AC/ME/ACME", "../config.json", "1/../a"]),
    ],
)
def test_other_addresses__have_no_index(protocol: str, paths: list[str]) -> None:
    role = protocol_named(protocol).importing
    found: Callable[[str], str | None] = role.project_at
    assert [each for each in paths if found(each) is not None] == []
