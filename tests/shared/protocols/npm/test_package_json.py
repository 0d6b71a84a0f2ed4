"""A project's own package.json: in one spelling, what it asks for, and what is refused with its place."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shared.errors import EnsureInvalid
from shared.protocols.npm.package_json import dependencies_of, read_package_json
from shared.protocols.roles.locks import TableFault
from shared.resolving.ensure_file import manifest_kind, read_json, read_manifest

PROJECT = {
    "name": "@acme/site",
    "version": "1.2.3",
    "description": "of a test",
    "license": {"type": "MIT", "url": "https://example.com"},
    "funding": "https://example.com/fund",
    "scripts": {"postinstall": "node x", "test": "exit 1"},
    "bin": "./index.js",
    "workspaces": [],
    "dependencies": {"z": "1", "b": "^1"},
    "optionalDependencies": {"b": "^1.1"},
    "devDependencies": {},
    "overrides": {"y": "$z", "x": "2"},
}
READ = {
    "bin": {"site": "index.js"},
    "dependencies": {"z": "1"},
    "devDependencies": {},
    "funding": {"url": "https://example.com/fund"},
    "hasInstallScript": True,
    "license": "MIT",
    "name": "@acme/site",
    "optionalDependencies": {"b": "^1.1"},
    "version": "1.2.3",
    "overrides": {"y": "$z", "x": "2"},
}


def test_package_json__only_what_decides_a_lock__reads_back_as_itself() -> None:
    assert read_package_json("\ufeff" + json.dumps(PROJECT)) == READ
    assert read_package_json(json.dumps(READ)) == READ
    assert list(read_package_json('{"dependencies": {"z": "1", "b": "1"}}')["dependencies"]) == ["z", "b"]


@pytest.mark.parametrize(
    ("groups", "group", "kind"),
    [
        ("dependencies", "dependencies", "prod"),
        ("peerDependencies", "peerDependencies", "peer"),
        ("peerDependencies dependencies", "dependencies", "prod"),
        ("peerDependencies optionalDependencies", "optionalDependencies", "optional"),
        ("optionalDependencies dependencies", "optionalDependencies", "optional"),
        ("devDependencies dependencies", "devDependencies", "dev"),
        ("devDependencies optionalDependencies", "devDependencies", "dev"),
        ("devDependencies peerDependencies", "devDependencies", "dev"),
    ],
)
def test_name_in_several_groups__is_of_the_kind_that_npm_gives_it(groups: str, group: str, kind: str) -> None:
    about = {each: {"a": str(at)} for at, each in enumerate(groups.split())}
    (found,) = dependencies_of(read_package_json(json.dumps(about)))
    assert (found.group, found.kind, found.text) == (group, kind, about[group]["a"])


def test_peer__that_its_meta_calls_optional__behind_the_others() -> None:
    peers = {"a": "1", "b": "2", "c": "3"}
    about = {
        "peerDependencies": peers,
        "peerDependenciesMeta": {"a": {"optional": True}, "b": {"optional": False}, "d": None},
        "acceptDependencies": {"b": ">=1"},
    }
    found = list(dependencies_of(read_package_json(json.dumps(about))))
    assert [(each.name, each.kind) for each in found] == [("b", "peer"), ("c", "peer"), ("a", "peerOptional")]
    assert [each.accepted for each in found] == [">=1", None, None]


FAULTS: dict[str, tuple[Any, tuple[str, ...], str]] = {
    "no JSON": ("{", (), "cannot be read"),
    "deep": ('{"a":' * 100_000, (), "cannot be read"),
    "no object": ("[]", (), "no object"),
    "half a character": ('"\ud800"', (), "no object"),
    "half a character, escaped": ('{"name": "\\ud800"}', (), "cannot be read"),
    "list": ({"dependencies": ["a"]}, ("dependencies",), "a table of names and ranges"),
    "number": ({"devDependencies": {"a": 1}}, ("devDependencies", "a"), "expected a string"),
    "path": ({"dependencies": {"../a": "1"}}, ("dependencies", "../a"), "no package has this name"),
    "two in one": ({"dependencies": {"a@npm:b": "1"}}, ("dependencies", "a@npm:b"), "no package"),
    "name": ({"name": 3}, ("name",), "expected a string"),
    "overrides": ({"overrides": "a"}, ("overrides",), "expected a table"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_package_json__that_is_wrong__refused_with_its_place(case: str) -> None:
    about, path, said = FAULTS[case]
    with pytest.raises(TableFault) as raised:
        read_package_json(about if isinstance(about, str) else json.dumps(about))
    assert raised.value.path == path
    assert said in raised.value.reason


def test_manifest__an_ensure_file_of_all_that_it_asks_for() -> None:
    assert manifest_kind("package.json") == "package.json"
    assert manifest_kind("my-package.json") == ""
    file = read_manifest("package.json", json.dumps(PROJECT))
    (request,) = file.plans[0].requests
    assert request.requirements == ("b@^1.1", "z@1")
    assert file.spoken == ("npm", "manifests")
    assert read_json(file.document) == file
    same = {"description": "another", **{key: PROJECT[key] for key in reversed(PROJECT)}, "funding": None}
    same |= {"description": "another", "funding": {"url": PROJECT["funding"]}}
    assert read_manifest("package.json", json.dumps(same)).key == file.key


@pytest.mark.parametrize(
    ("about", "said"),
    [
        ({"dependencies": {"a": "file:../a"}}, "npm.project.dependencies.a: a is asked for by address"),
        ({"devDependencies": {"a": "git+https://example.com/a.git"}}, "npm.project.devDependencies.a: a is"),
        ({"optionalDependencies": {"a": "https://example.com/a.tgz"}}, "only names are resolved"),
        ({"dependencies": {"a": "workspace:*"}}, "only names are resolved"),
        ({"dependencies": {"a": "1"}, "overrides": {"a": "2"}}, "npm.project.overrides.a: it conflicts"),
        ({"dependencies": {"a": "1"}, "overrides": {"b": 2}}, "npm.project.overrides.b: expected a range"),
        ({"workspaces": ["a"]}, "npm.project.workspaces: the package.json of its members"),
        ({"name": "a"}, "nothing to ensure"),
    ],
)
def test_manifest__that_cannot_be_resolved__the_error_names_the_place(about: Any, said: str) -> None:
    with pytest.raises(EnsureInvalid) as raised:
        read_manifest("package.json", json.dumps(about))
    assert said in raised.value.message


@pytest.mark.parametrize("beside", [{"dependencies": {"a": "1"}}, {"overrides": {"a": "1"}}])
def test_manifest__beside_what_stands_in_it__refused(beside: dict[str, Any]) -> None:
    with pytest.raises(EnsureInvalid, match="stand in the package"):
        read_json(json.dumps({"npm": {"project": json.dumps(PROJECT), **beside}}))
