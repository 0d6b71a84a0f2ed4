"""Members of a project by the patterns in its file: as npm's own map-workspaces finds them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from services.cli.errors import WrongUse
from services.cli.members import members, with_members
from tests.shared.protocols.npm.resolver.npm_beside import NODE_MODULES, npm_is_there

KIND = "package.json"
FOLDERS = (
    "packages/a",
    "packages/b",
    "packages/b/sub",
    "packages/.hidden",
    "packages/@scope/c",
    "packages/a/node_modules/dep",
    "apps/web",
    "apps/web-old",
    "apps/[odd]",
    "tools",
    "deep/one/two/three",
)

CASES: dict[str, tuple[list[str], list[str]]] = {
    "one folder": (["tools"], ["tools"]),
    "a star": (["packages/*"], ["packages/a", "packages/b"]),
    "with ./ and / at the end": (["./packages/*/"], ["packages/a", "packages/b"]),
    "from the root": (["/tools"], ["tools"]),
    "any depth": (
        ["packages/**"],
        ["packages/a", "packages/b", "packages/b/sub", "packages/@scope/c"],
    ),
    "any depth between": (["**/three", "**/a"], ["deep/one/two/three", "packages/a"]),
    "alternatives": (["{apps,packages}/{web,a}"], ["apps/web", "packages/a"]),
    "a character": (["apps/we?"], ["apps/web"]),
    "a class": (["packages/[!a]"], ["packages/b"]),
    "a range": (["packages/[a-c]"], ["packages/a", "packages/b"]),
    "a scope": (["packages/@scope/*"], ["packages/@scope/c"]),
    "a dot that is written": (["packages/.hidden"], ["packages/.hidden"]),
    "without one": (["packages/*", "!packages/b"], ["packages/a"]),
    "without all below": (["packages/**", "!packages/b/**"], ["packages/a", "packages/@scope/c"]),
    "excluded first": (["!packages/b", "packages/*"], ["packages/a"]),
    "taken back": (["packages/*", "!packages/b", "packages/b"], ["packages/a", "packages/b"]),
    "twice negated": (["!!packages/a"], ["packages/a"]),
    "twice": (["packages/a", "packages/*"], ["packages/a", "packages/b"]),
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("project")
    for number, folder in enumerate(FOLDERS):
        (root / folder).mkdir(parents=True, exist_ok=True)
        (root / folder / "package.json").write_text(json.dumps({"name": f"m{number}", "version": "1.0.0"}))
    (root / "apps" / "empty").mkdir()
    (root / "outside").symlink_to(root.parent)
    return root


def found(root: Path, *patterns: str) -> list[str]:
    return members(root, patterns, where="here", filename="package.json")


@pytest.mark.parametrize("case", CASES)
def test_members__of_each_case__those_that_are_meant(root: Path, case: str) -> None:
    patterns, expected = CASES[case]
    assert sorted(found(root, *patterns)) == sorted(expected)


@pytest.mark.skipif(not npm_is_there(), reason="node or npm's own parts are not here")
def test_members__of_all_cases__those_that_npm_finds(root: Path) -> None:
    script = """
    const [modules, cwd, cases] = process.argv.slice(1);
    const map = require(modules + '/@npmcli/map-workspaces'), path = require('path');
    (async () => {
      const found = [];
      for (const workspaces of JSON.parse(cases)) {
        const each = await map({cwd, pkg: {workspaces}});
        found.push([...each.values()].map(one => path.relative(cwd, one)).sort());
      }
      console.log(JSON.stringify(found));
    })();
    """
    asked = [patterns for patterns, _ in CASES.values()]
    command = ["node", "-e", script, str(NODE_MODULES), str(root), json.dumps(asked)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    theirs = dict(zip(CASES, json.loads(done.stdout), strict=True))
    assert theirs == {case: sorted(found(root, *patterns)) for case, (patterns, _) in CASES.items()}


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("nothing/*", "here: 'nothing/*' matches no folder with a package.json"),
        ("apps/empty", "'apps/empty' matches no folder"),
        ("../*", "here: '../*' leads out of the project's folder"),
        ("packages/../../x", "leads out of the project's folder"),
    ],
)
def test_pattern__that_means_nothing_or_leads_out__refused(root: Path, pattern: str, said: str) -> None:
    with pytest.raises(WrongUse) as raised:
        found(root, "tools", pattern)
    assert said in raised.value.message


def test_member__a_link_out_of_the_project__refused(root: Path, tmp_path: Path) -> None:
    (tmp_path / "package.json").write_text("{}")
    (root / "linked").symlink_to(tmp_path)
    with pytest.raises(WrongUse, match="linked leads out of"):
        found(root, "linked")
    (root / "linked").unlink()


@pytest.mark.parametrize("name", [KIND, "other.json"])
@pytest.mark.parametrize("workspaces", [["packages/*"], {"packages": ["packages/*"], "nohoist": []}])
def test_file_with_members__one_document_of_all_whatever_it_is_called(
    root: Path, workspaces: object, name: str
) -> None:
    about = {"name": "shop", "workspaces": workspaces}
    read = json.loads(with_members(root / name, json.dumps(about).encode(), "workspaces", kind=KIND))
    assert read["packages"][""] == about
    assert {folder: each["name"] for folder, each in read["packages"].items() if folder} == {
        "packages/a": "m0",
        "packages/b": "m1",
    }


@pytest.mark.parametrize("text", [b"{}", b'{"workspaces": []}', b"[]", b"{", b"\xff"])
def test_file_without_members__as_it_is(root: Path, text: bytes) -> None:
    assert with_members(root / "package.json", text, "workspaces", kind=KIND) == text


@pytest.mark.parametrize("workspaces", ["packages/*", [1], {"packages": "a"}])
def test_patterns__that_are_no_list__refused(root: Path, workspaces: object) -> None:
    text = json.dumps({"workspaces": workspaces}).encode()
    with pytest.raises(WrongUse, match="expected a list of patterns"):
        with_members(root / "package.json", text, "workspaces", kind=KIND)


@pytest.mark.parametrize(
    "pattern",
    ["packages/[z-a]", "packages/[]", "packages/@(a|b)", "packages/{1..3}", "{a,b}" * 16],
    ids=["a class backwards", "an empty class", "an extended glob", "a sequence", "65,536 alternatives"],
)
def test_pattern_that_is_not_understood__is_said(root: Path, pattern: str) -> None:
    with pytest.raises(WrongUse, match="pattern"):
        members(root, [pattern], where="package.json", filename="package.json")
