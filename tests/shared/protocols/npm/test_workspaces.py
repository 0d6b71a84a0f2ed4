"""A project with its members as one text: in one spelling, what it asks for, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shared.errors import EnsureInvalid
from shared.protocols.npm.workspaces import MOST_MEMBERS, name_of_folder, read_whole
from shared.resolving.ensure_file import read_json, read_manifest

ROOT = {"name": "shop", "workspaces": ["packages/*"], "dependencies": {"z": "1", "a": "file:packages/a"}}
A = {"name": "a", "version": "1.0.0", "dependencies": {"x": "^1"}, "overrides": {"x": "2"}}
B = {"name": "b", "devDependencies": {"a": "*", "x": "^2", "y": "1"}}


def document(**members: Any) -> str:
    packages = {folder.replace("__", "/"): about for folder, about in members.items()}
    return json.dumps({"packages": {"": ROOT, **packages}})


def test_whole__reads_back_as_itself__overrides_of_members_left_out() -> None:
    whole = read_whole(document(packages__b=B, packages__a=A))
    assert list(whole.members) == ["packages/a", "packages/b"]
    assert "overrides" not in whole.members["packages/a"]
    assert read_whole(whole.text) == whole
    assert read_whole('{"name": "alone"}').text == '{"name":"alone"}'


def test_document__an_ensure_file_of_what_all_of_it_asks_for_beside_members() -> None:
    file = read_manifest("package.json", document(packages__a=A, packages__b=B))
    (request,) = file.plans[0].requests
    assert request.requirements == ("x@^1", "y@1", "z@1")
    assert file.spoken == ("npm", "manifests")
    assert read_json(file.document) == file
    assert read_manifest("package.json", document(packages__b=B, packages__a=A)).key == file.key


MANY = {f"packages__m{number}": {"name": f"m{number}"} for number in range(MOST_MEMBERS + 1)}
FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "no member": ({}, "npm.project.packages: it has `workspaces`, and no member is here"),
    "no name": ({"packages__a": {"version": "1.0.0"}}, "packages.packages/a: a member needs a name"),
    "a path for a name": ({"packages__a": {"name": "../a"}}, "packages/a: a member needs a name"),
    "two of one name": (
        {"packages__a": A, "packages__c": {"name": "A"}},
        "packages/c: its name is that of packages/a: A",
    ),
    "outside": ({"..__a": A}, "packages.../a: a member lies in a folder below"),
    "from the root": ({"__a": A}, "a member lies in a folder below the project's own"),
    "of another system": ({"C:\\a": A}, "a member lies in a folder below the project's own"),
    "in node_modules": ({"node_modules__a": A}, "a member lies in a folder below the project's own"),
    "too many": (MANY, f"at most {MOST_MEMBERS} members"),
    "no object": ({"packages__a": []}, "npm.project.packages.packages/a: expected an object"),
    "a number": (
        {"packages__a": {"name": "a", "dependencies": {"x": 1}}},
        "npm.project.packages.packages/a.dependencies.x: expected a string",
    ),
    "an address": (
        {"packages__a": {"name": "a", "devDependencies": {"x": "file:../x"}}},
        "packages/a.devDependencies.x: x is asked for by address; only names are resolved",
    ),
}


@pytest.mark.parametrize("case", FAULTS)
def test_document__that_is_wrong__refused_with_its_place(case: str) -> None:
    members, said = FAULTS[case]
    with pytest.raises(EnsureInvalid) as raised:
        read_manifest("package.json", document(**members))
    assert said in raised.value.message


def test_members_of_a_project_that_has_no_workspaces__refused() -> None:
    with pytest.raises(EnsureInvalid, match="nothing is a member of it"):
        read_manifest("package.json", json.dumps({"packages": {"": {"name": "b"}, "packages/a": A}}))


def test_rule_for_a_member__refused__it_is_linked() -> None:
    root = ROOT | {"overrides": {"a": "2.0.0"}}
    with pytest.raises(EnsureInvalid) as raised:
        read_manifest("package.json", json.dumps({"packages": {"": root, "packages/a": A}}))
    assert "npm.project.overrides.a: it conflicts with the direct dependency a@file:" in raised.value.message


@pytest.mark.parametrize(
    ("folder", "name"),
    [("a", "a"), ("packages/a", "a"), ("packages/@acme/ui", "@acme/ui"), ("@acme", "@acme"), ("x/y/z", "z")],
)
def test_name_of_folder__with_the_scope_around_it(folder: str, name: str) -> None:
    assert name_of_folder(folder) == name
