"""What Cargo asks next: the version that it takes, and the index files of what it needs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shared.policy.project import NOTHING, ProjectVerdicts
from shared.protocols.cargo.ahead import CargoAhead
from shared.protocols.cargo.index import load_index_file
from shared.protocols.roles.ahead import MOST_NAMES
from tests.support.cargo_builders import dependency

AHEAD = CargoAhead()


def line(version: str, *deps: str | dict[str, Any], number: int = 0, **fields: Any) -> dict[str, Any]:
    made = [dependency(each) if isinstance(each, str) else each for each in deps]
    about = {"name": "demo", "vers": version, "cksum": f"{number:064x}", "features": {}, "deps": made}
    return {**about, "yanked": False, **fields}


def after(*lines: dict[str, Any], wanted: str = "", blocks: ProjectVerdicts = NOTHING) -> dict[str, str]:
    body = b"".join(json.dumps(each).encode() + b"\n" for each in lines)
    found = AHEAD.after_index("index/demo", load_index_file(body), "cargo", wanted, blocks)
    assert all(guess.identity == f"index/{guess.project}" for guess in found)
    return {guess.project: guess.wanted for guess in found}


@pytest.mark.parametrize(
    ("user_agent", "expected"),
    [
        ("cargo/1.75.0 (1d8b05cdd 2023-11-20)", "cargo"),
        ("cargo 1.67.0 (8ecd4f20a 2023-01-10)", "cargo"),
        ("cargo-audit", ""),
        ("curl/8.5", ""),
        ("", ""),
    ],
)
def test_tool__of_a_user_agent(user_agent: str, expected: str) -> None:
    assert AHEAD.tool(user_agent) == expected


LINES = [line(each, f"of-{each.replace('.', '-')} ^1") for each in ("1.0.0", "1.2.0", "2.0.0", "3.0.0-rc.1")]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("", "2-0-0"),
        ("^1||1", "1-2-0"),
        ("=1.0.0||1", "1-0-0"),
        ("3.0.0-rc.1||1", "3-0-0-rc-1"),
        ("^9||1", ""),
    ],
)
def test_index__the_version_that_cargo_takes(wanted: str, expected: str) -> None:
    assert after(*LINES, wanted=wanted) == ({f"of-{expected}": "^1||1"} if expected else {})


def test_index__yanked_blocked_or_of_a_newer_format__another_one() -> None:
    first = line("1.0.0", "a ^1")
    assert after(first, line("1.1.0", "b ^1", yanked=True)) == {"a": "^1||1"}
    assert after(first, line("1.1.0", "b ^1", v=9)) == {"a": "^1||1"}
    newer = line("1.1.0", "b ^1", number=7)
    assert after(first, newer, blocks=ProjectVerdicts(versions={"1.1.0": "x"})) == {"a": "^1||1"}
    assert after(first, newer, blocks=ProjectVerdicts(digests={f"{7:064x}": "x"})) == {"a": "^1||1"}
    assert after(first, line("1.1.0", {"name": "b", "req": "nonsense"})) == {"a": "^1||1"}


def dep(name: str, **fields: Any) -> dict[str, Any]:
    return {**dependency(f"{name} ^1"), **fields}


@pytest.mark.parametrize(
    ("deps", "features", "wanted", "expected"),
    [
        (["A ^1", dep("b", kind="build"), dep("c", kind="dev")], {}, "", {"a": "^1||1", "b": "^1||1"}),
        ([dep("b", target="cfg(windows)")], {}, "", {"b": "^1||1"}),
        ([dep("a", optional=True)], {}, "", {}),
        ([dep("a", optional=True)], {}, "*|a|1", {"a": "^1||1"}),
        ([dep("a", optional=True)], {"default": ["dep:a"]}, "", {"a": "^1||1"}),
        ([dep("a", optional=True)], {"default": ["dep:a"]}, "*||0", {}),
        ([dep("a", features=["x"], default_features=False)], {"f": ["a/y"]}, "*|f|1", {"a": "^1|x,y|0"}),
        ([dep("mine", package="theirs")], {}, "", {"theirs": "^1||1"}),
        ([dep("a", registry="https://x.example.com/index")], {}, "", {}),
        ([dep("../../a")], {}, "", {}),
        (["a ^1"], {}, "*|missing|1", {}),
        ([f"p{n} ^1" for n in range(MOST_NAMES + 1)], {}, "", {}),
    ],
)
def test_version__the_index_files_of_what_it_needs(
    deps: list[str | dict[str, Any]], features: dict[str, list[str]], wanted: str, expected: dict[str, str]
) -> None:
    assert after(line("1.0.0", *deps, features=features), wanted=wanted) == expected
