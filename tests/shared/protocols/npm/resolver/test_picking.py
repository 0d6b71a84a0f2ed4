"""Which version npm takes for a requirement: tags, deprecation, engines, moments, and what cannot be read."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from shared.protocols.npm.resolver.environments import environment
from shared.protocols.npm.resolver.packument import unpack
from shared.protocols.npm.resolver.picking import manifest_of, pick
from shared.protocols.npm.resolver.specs import read_spec
from tests.shared.protocols.npm.resolver.resolution_support import page

OLD = {"deprecated": "use something else"}
NEWER_NODE = {"engines": {"node": ">=22"}}


def picked(versions: dict[str, dict[str, Any]], wanted: str, *, node: str = "20", as_of: str = "") -> str:
    spec = read_spec("demo", wanted)
    before = datetime.fromisoformat(as_of).timestamp() if as_of else None
    release = pick(page("demo", versions), spec, environment(f"node{node}-linux-x64-glibc"), before)
    return release.version if release else ""


@pytest.mark.parametrize(
    ("versions", "wanted", "expected"),
    [
        ({"1.0.0": {}, "1.1.0": {}, "2.0.0": {}}, "^1", "1.1.0"),
        ({"1.0.0": {}, "1.1.0": {}, "tags": {"latest": "1.0.0"}}, "^1", "1.0.0"),  # latest is preferred
        ({"1.0.0": {}, "2.0.0": {}, "tags": {"latest": "1.0.0"}}, "^2", "2.0.0"),  # where it fits
        ({"1.0.0": {}, "2.0.0": {}, "tags": {"latest": "1.0.0"}}, "*", "1.0.0"),
        ({"1.0.0": {}, "1.1.0-beta": {}, "tags": {"latest": "1.1.0-beta"}}, "*", "1.1.0-beta"),
        ({"1.0.0": {}, "1.1.0": OLD}, "^1", "1.0.0"),
        ({"1.0.0": OLD, "1.1.0": OLD}, "^1", "1.1.0"),  # only deprecated ones: the newest
        ({"1.0.0": {}, "1.1.0": NEWER_NODE}, "^1", "1.0.0"),
        ({"1.0.0": OLD, "1.1.0": NEWER_NODE}, "^1", "1.0.0"),  # the engine counts more
        ({"1.0.0": {}, "1.1.0": {"engines": {"node": "not a range"}}}, "^1", "1.0.0"),
        ({"1.0.0": {}, "1.1.0": {"engines": ["node >= 99"]}}, "^1", "1.1.0"),  # as old packages wrote it
        ({"1.0.0": {}, "1.1.0": {}, "tags": {"next": "1.0.0"}}, "next", "1.0.0"),
        ({"1.0.0": {}}, "no-such-tag", ""),
        ({"1.0.0": OLD}, "1.0.0", "1.0.0"),
        ({"1.0.0": {}}, "v1.0.0", "1.0.0"),
        ({"1.0.0": {}}, "1.0.1", ""),
        ({"1.0.0": {}, "1.1.0-rc.1": {}}, "^1.1.0-rc.0", "1.1.0-rc.1"),
        ({"1.0.0": {}, "1.1.0-rc.1": {}}, ">=1.0.1", ""),
    ],
)
def test_pick__as_npm(versions: dict[str, dict[str, Any]], wanted: str, expected: str) -> None:
    assert picked(versions, wanted) == expected


@pytest.mark.parametrize(
    ("wanted", "as_of", "expected"),
    [
        ("^1", "2020-06-01T00:00:00Z", "1.0.0"),
        ("^1", "2021-06-01T00:00:00Z", "1.1.0"),
        ("latest", "2020-06-01T00:00:00Z", "1.0.0"),  # the newest below what the tag names now
        ("1.1.0", "2020-06-01T00:00:00Z", ""),
        ("*", "2019-01-01T00:00:00Z", ""),
        ("^9", "2019-01-01T00:00:00Z", ""),
    ],
)
def test_as_of__by_publication_time(wanted: str, as_of: str, expected: str) -> None:
    versions = {
        "1.0.0": {"published": "2020-01-01T00:00:00.000Z"},
        "1.1.0": {"published": "2021-01-01T00:00:00.000Z"},
        "1.2.0": {"published": "nobody knows"},
    }
    assert picked(versions, wanted, as_of=as_of) == expected


@pytest.mark.parametrize(
    ("text", "kind", "package", "wanted"),
    [
        ("^1.0.0", "range", "demo", "^1.0.0"),
        ("", "range", "demo", "*"),
        (" 1.x ", "range", "demo", "1.x"),
        ("1.0.0", "version", "demo", "1.0.0"),
        ("next", "tag", "demo", "next"),
        ("npm:other@^2", "range", "other", "^2"),
        ("npm:@scope/other@1.0.0", "version", "@scope/other", "1.0.0"),
        ("npm:@scope/other", "range", "@scope/other", "*"),
        ("npm:npm:twice@1", "invalid", "", ""),
        ("git+ssh://git@git.example.com/a/b.git", "address", "", ""),
        ("git@git.example.com:a/b.git", "address", "", ""),
        ("someone/something#semver:^1", "address", "", ""),
        ("github:someone/something", "address", "", ""),
        ("https://files.example.com/a.tgz", "address", "", ""),
        ("file:../a", "address", "", ""),
        ("./a", "address", "", ""),
        ("a.tgz", "address", "", ""),
        ("workspace:*", "address", "", ""),
        ("not a tag", "invalid", "", ""),
    ],
)
def test_spec__kinds(text: str, kind: str, package: str, wanted: str) -> None:
    spec = read_spec("demo", text)
    assert (spec.kind, spec.package) == (kind, package)
    assert not wanted or spec.wanted == wanted


def test_manifest__groups_override_one_another_in_npms_order() -> None:
    about = {
        "peerDependencies": {"a": "1", "b": "1", "c": "1"},
        "peerDependenciesMeta": {"b": {"optional": True}},
        "dependencies": {"c": "2", "d": "1", "e": "1"},
        "optionalDependencies": {"e": "2"},
        "bundleDependencies": True,
    }
    found = page("demo", {"1.0.0": about})
    manifest = manifest_of(found, found.releases["1.0.0"])
    assert [(each.name, each.kind, each.spec.text) for each in manifest.wanted] == [
        ("a", "peer", "1"),
        ("b", "peerOptional", "1"),
        ("c", "prod", "2"),
        ("d", "prod", "1"),
        ("e", "optional", "2"),
    ]
    assert manifest.bundled == {"c", "d", "e"}


def test_packument__fields_of_wrong_types__the_rest_counts() -> None:
    odd = {
        "dependencies": {"a": "1", "b": 2, "c": None},
        "optionalDependencies": ["x"],
        "peerDependenciesMeta": "none",
        "os": "linux",
        "cpu": [1, "x64"],
        "engines": "node",
        "bundleDependencies": "a",
        "deprecated": False,
        "dist": {"tarball": "https://registry.example.com/demo/-/demo-1.0.0.tgz", "shasum": "ab" * 20},
    }
    found = page("demo", {"1.0.0": odd})
    release = found.releases["1.0.0"]
    declared = unpack(release)
    assert (declared.dependencies, declared.optional, declared.bundled) == ({"a": "1"}, {}, [])
    assert (declared.system, declared.processor) == (["linux"], ["x64"])
    assert release.integrity == "sha1-q6urq6urq6urq6urq6urq6urq6s="
    assert not release.deprecated


def test_packument__equal_declarations_are_kept_once() -> None:
    found = page("demo", {f"1.{minor}.0": {"dependencies": {"a": "^1"}} for minor in range(50)})
    assert len({id(release.declared) for release in found.releases.values()}) == 1


def test_hidden_version__latest_is_the_newest_release_left() -> None:
    versions = {
        "1.0.0": {},
        "1.1.0": {},
        "2.0.0-rc.1": {},
        "3.0.0": {"dist": {"tarball": "file:///etc/passwd"}},
    }
    found = page("demo", versions)
    assert list(found.releases) == ["2.0.0-rc.1", "1.1.0", "1.0.0"]
    assert found.tags == {"latest": "1.1.0"}
