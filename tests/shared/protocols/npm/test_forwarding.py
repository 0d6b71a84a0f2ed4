"""Which names a request that is passed on tells, and what is left of it without some of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shared.errors import MalformedRequest, UpstreamInvalid, UpstreamRefused
from tests.shared.protocols.npm.support import NPM

SEARCH = "-/v1/search?text=x"
BULK = "-/npm/v1/security/advisories/bulk"
QUICK = "-/npm/v1/security/audits/quick"
TREE = {
    "name": "@acme/app",
    "version": "1.0.0",
    "metadata": {"workspace": "@acme/tool"},
    "install": ["@acme/tool@1.0.0", "left-pad@1.3.0"],
    "remove": ["@acme/old@2"],
    "requires": {"@acme/tool": "^1", "left-pad": "^1", "alias": "npm:@acme/aliased@^1"},
    "dependencies": {
        "@acme/tool": {"version": "1.0.0", "requires": {"left-pad": "^1"}},
        "alias": {"version": "npm:@acme/aliased@1.0.0"},
        "left-pad": {
            "version": "1.3.0",
            "integrity": "sha512-AA==",
            "resolved": "https://npm.example.com/@acme/mirror/left-pad.tgz",
            "requires": {"@acme/deep": "*", "x": "1"},
            "dependencies": {"@acme/deep": {"version": "1.0.0"}, "x": {"version": "1.0.0", "dev": True}},
        },
    },
}


def told(path: str, body: Any = None) -> set[str]:
    return set(NPM.forwarding.named_in(path, json.dumps(body).encode() if body is not None else b""))


def left(path: str, body: Any, *withheld: str) -> Any:
    return json.loads(NPM.forwarding.without_names(path, json.dumps(body).encode(), set(withheld)).body)


def test_bulk__names_are_its_keys__and_go_one_by_one() -> None:
    body = {"@acme/tool": ["1.0.0"], "left-pad": ["1.3.0"]}
    assert told(BULK, body) == {"@acme/tool", "left-pad"}
    assert left(BULK, body, "@acme/tool") == {"left-pad": ["1.3.0"]}


def test_quick__names_at_any_depth_and_behind_aliases__are_found_and_go() -> None:
    acme = {name for name in told(QUICK, TREE) if name.startswith("@acme/")}
    assert acme >= {"@acme/app", "@acme/tool", "@acme/old", "@acme/aliased", "@acme/deep"}
    rest = left(QUICK, TREE, *acme)
    assert "acme" not in json.dumps(rest)
    assert rest == {
        "version": "1.0.0",
        "install": ["left-pad@1.3.0"],
        "remove": [],
        "requires": {"left-pad": "^1"},
        "dependencies": {
            "left-pad": {
                "version": "1.3.0",
                "integrity": "sha512-AA==",
                "requires": {"x": "1"},
                "dependencies": {"x": {"version": "1.0.0", "dev": True}},
            }
        },
    }


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (BULK, {"@acme/tool": ["1.0.0"]}),
        (QUICK, {"name": "app", "requires": {"@acme/tool": "1"}, "dependencies": {"@acme/tool": {}}}),
        (QUICK, {"dependencies": {"@acme/tool": {"dependencies": {"left-pad": {}}}}}),
    ],
)
def test_audit__of_which_nothing_is_left__is_refused_not_answered(path: str, body: Any) -> None:
    with pytest.raises(UpstreamRefused):
        left(path, body, "@acme/tool")


@pytest.mark.parametrize(
    ("path", "body"),
    [(BULK, b"{}"), (BULK, b'{"x":[]}'), (BULK, b' {"x" : [{"id":1}]}'), (QUICK, b"{}"), (SEARCH, b"<html>")],
)
def test_answer__that_is_one__passes(path: str, body: bytes) -> None:
    NPM.forwarding.check_passed(path, body)


@pytest.mark.parametrize("path", [BULK, QUICK, "-/npm/v1/security/audits"])
@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"0", b'""', b"<html></html>", b"{", b'{"x":\xff'])
def test_answer__that_is_no_audit__is_invalid(path: str, body: bytes) -> None:
    with pytest.raises(UpstreamInvalid):
        NPM.forwarding.check_passed(path, body)


@pytest.mark.parametrize(
    "body", [b'{"error":"down"}', b'{"x":null}', b'{"x":{}}', b'{"x":[],"message":"no"}']
)
def test_answer__in_bulk_with_other_than_lists__is_invalid(body: bytes) -> None:
    with pytest.raises(UpstreamInvalid):
        NPM.forwarding.check_passed(BULK, body)


@pytest.mark.parametrize("path", [BULK, QUICK, "-/npm/v1/security/audits"])
@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"[" * 100_000, b'{"a":\xff}'])
def test_audit__that_cannot_be_read__is_refused(path: str, body: bytes) -> None:
    with pytest.raises(MalformedRequest):
        NPM.forwarding.named_in(path, body)


def test_quick__deeper_than_any_tree__is_refused() -> None:
    deep: dict[str, Any] = {}
    for _ in range(300):
        deep = {"dependencies": {"x": deep}}
    with pytest.raises(MalformedRequest):
        told(QUICK, deep)


@pytest.mark.parametrize(
    "query", ["text=%40acme%2Ftool", "size=2&text=left+%40acme/tool", "text=scope:acme+%40acme/tool"]
)
def test_search__words_are_names__with_one_withheld_there_are_no_results(query: str) -> None:
    path = f"-/v1/search?{query}"
    assert "@acme/tool" in told(path)
    passed = NPM.forwarding.without_names(path, b"", {"@acme/tool"})
    assert json.loads(passed.instead) == {"objects": [], "total": 0}


@pytest.mark.parametrize("word", ["scope:acme", "@acme", "acme", "@acme/"])
def test_search__scope__stands_for_any_name_in_it(word: str) -> None:
    assert "@acme/_" in told(f"-/v1/search?text={word}")
