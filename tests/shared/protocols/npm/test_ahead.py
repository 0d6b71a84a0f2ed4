"""What npm's clients ask next: the version that they take, and the documents of what it needs."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from shared.policy.project import NOTHING, ProjectVerdicts
from shared.protocols.npm.ahead import NpmAhead
from shared.protocols.npm.document import Notes, decode_document, encode_document
from shared.protocols.roles.ahead import MOST_NAMES

AHEAD = NpmAhead()


@pytest.mark.parametrize(
    ("user_agent", "expected"),
    [
        ("npm/10.2.4 node/v20.11.0 linux x64 workspaces/false", "npm"),
        ("pnpm/9.1.0 npm/? node/v20.11.0 linux x64", "pnpm"),
        ("yarn/1.22.19 npm/? node/v18.0.0 linux x64", "yarn"),
        ("Bun/1.1.0", "bun"),
        ("node/v20", ""),
        ("curl/8.5", ""),
        ("npm/x", ""),
        ("", ""),
    ],
)
def test_tool__of_a_user_agent__is_the_clients_name(user_agent: str, expected: str) -> None:
    assert AHEAD.tool(user_agent) == expected


def after(
    versions: dict[str, Any],
    wanted: str = "",
    *,
    tags: Any = None,
    tool: str = "npm",
    blocks: ProjectVerdicts = NOTHING,
    identity: str = "packument/demo",
    notes: Notes | None = None,
) -> dict[str, str]:
    about = {"name": "demo", "versions": versions, "dist-tags": tags}
    body = encode_document(
        identity, "https://x.example.com/demo", notes or Notes(), msgspec.json.encode(about)
    )
    found = AHEAD.after_index(identity, decode_document(body), tool, wanted, blocks)
    assert all(guess.identity == f"packument/{guess.project}" for guess in found)
    return {guess.project: guess.wanted for guess in found}


def marked(*versions: str, **fields: Any) -> dict[str, Any]:
    """Versions that each need a package named by themselves."""
    return {version: {"dependencies": {f"of-{version}": "*"}, **fields} for version in versions}


@pytest.mark.parametrize(
    ("wanted", "tags", "expected"),
    [
        ("", {"latest": "1.1.0"}, "1.1.0"),
        ("", {}, ""),
        ("", {"latest": 7}, ""),
        ("^1.0.0", {"latest": "1.1.0"}, "1.1.0"),
        ("^1.0.0", {"latest": "2.0.0"}, "1.2.0"),
        ("<1.2", {"latest": "2.0.0"}, "1.1.0"),
        ("*", {"latest": "1.0.0"}, "1.0.0"),
        ("2.0.0", {}, "2.0.0"),
        ("v2.0.0", {}, "2.0.0"),
        ("9.0.0", {}, ""),
        ("next", {"next": "2.0.0"}, "2.0.0"),
        (">9", {"latest": "2.0.0"}, ""),
        ("git+ssh://x", {"latest": "2.0.0"}, ""),
    ],
)
def test_packument__the_version_that_npm_takes(wanted: str, tags: dict[str, Any], expected: str) -> None:
    found = after(marked("1.0.0", "1.1.0", "1.2.0", "2.0.0", "3.0.0-rc.1"), wanted, tags=tags)
    assert found == ({f"of-{expected}": "*"} if expected else {})


def test_packument__deprecated_or_blocked_or_hidden__another_one() -> None:
    versions = marked("1.0.0") | marked("1.1.0", deprecated="old")
    assert after(versions, "^1", tags={"latest": "1.1.0"}) == {"of-1.0.0": "*"}
    versions = marked("1.0.0", "1.1.0")
    blocks = ProjectVerdicts(versions={"1.1.0": "x"})
    assert after(versions, "^1", tags={"latest": "1.1.0"}, blocks=blocks) == {"of-1.0.0": "*"}
    assert after(versions, "1.1.0", blocks=blocks) == {}
    assert after(versions, "^1", notes=Notes(hidden=frozenset({"1.1.0"}))) == {"of-1.0.0": "*"}


def needs(**fields: Any) -> dict[str, str]:
    return after({"1.0.0": fields}, "1.0.0")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"dependencies": {"a": "^1", "@s/b": ""}}, {"a": "^1", "@s/b": "*"}),
        ({"optionalDependencies": {"a": "^1"}, "devDependencies": {"b": "^1"}}, {"a": "^1"}),
        ({"dependencies": {"mine": "npm:theirs@^2"}}, {"theirs": "^2"}),
        (
            {"dependencies": {"a": "github:x/y", "b": "file:../b", "../../c": "1", "d": "latest"}},
            {"d": "latest"},
        ),
        ({"dependencies": {"a": "1", "b": "1"}, "bundleDependencies": ["a"]}, {"b": "1"}),
        ({"dependencies": {"a": "1"}, "bundledDependencies": True}, {}),
        (
            {"peerDependencies": {"a": "1", "b": "1"}, "peerDependenciesMeta": {"b": {"optional": True}}},
            {"a": "1"},
        ),
        (
            {"peerDependencies": ["a"], "dependencies": {"b": 7, "c": "1"}, "peerDependenciesMeta": 1},
            {"c": "1"},
        ),
        ({"dependencies": {f"p{n}": "1" for n in range(MOST_NAMES + 1)}}, {}),
        ({}, {}),
    ],
)
def test_version__the_documents_of_what_it_needs(fields: dict[str, Any], expected: dict[str, str]) -> None:
    assert needs(**fields) == expected


def test_version__for_yarn__without_its_peers() -> None:
    assert after({"1.0.0": {"peerDependencies": {"a": "1"}}}, "1.0.0", tool="yarn") == {}


def test_document__is_no_packument__nothing_follows() -> None:
    assert after({}, identity="keys") == {}
    assert after(marked("1.0.0"), "1.0.0", identity="version/demo/1.0.0") == {}
