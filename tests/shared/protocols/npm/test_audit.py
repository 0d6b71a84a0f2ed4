"""npm's audits answered from advisories, in the forms that its clients read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shared.errors import MalformedRequest
from shared.policy.advisories import Advisory, Span
from shared.protocols import protocol_named
from shared.protocols.npm.semver_ranges import parse_range

LEAK = Advisory(
    "GHSA-1",
    False,
    score=7.5,
    spans=(Span("1.0.0", fixed="1.5.0"),),
    aliases=("CVE-2026-1",),
    summary="it leaks",
)
EVIL = Advisory("MAL-1", True, spans=(Span(),))
LISTED = Advisory("GHSA-2", False, spans=(Span("3.0.0", last="3.1.0"),), versions=("2.0.0",))
KNOWN = {"leaky": (LEAK,), "evil": (EVIL,), "@scope/some": (LISTED, LEAK)}
BULK, QUICK = "-/npm/v1/security/advisories/bulk", "-/npm/v1/security/audits/quick"


def audited(path: str, asked: Any) -> Any:
    body = protocol_named("npm").forwarding.audited(
        path, json.dumps(asked).encode(), lambda name: KNOWN.get(name, ())
    )
    return None if body is None else json.loads(body)


def test_bulk__those_that_affect_a_version_and_no_others() -> None:
    asked = {"leaky": ["1.2.0", "1.6.0"], "evil": ["0.0.1"], "@scope/some": ["2.0.0"], "fine": ["1.0.0"]}
    found = audited(BULK, asked)
    assert {name: [each["title"].partition(":")[0] for each in those] for name, those in found.items()} == {
        "leaky": ["GHSA-1"],
        "evil": ["MAL-1"],
        "@scope/some": ["GHSA-2"],
    }
    assert [found[name][0]["severity"] for name in ("leaky", "evil", "@scope/some")] == [
        "high",
        "critical",
        "moderate",
    ]
    assert found["leaky"][0]["vulnerable_versions"] == ">=1.0.0 <1.5.0"
    assert found["evil"][0]["vulnerable_versions"] == "*"
    assert found["@scope/some"][0]["vulnerable_versions"] == ">=3.0.0 <=3.1.0 || 2.0.0"
    assert all(parse_range(each["vulnerable_versions"]) for those in found.values() for each in those)
    assert len({each["id"] for those in found.values() for each in those}) == 3


def test_bulk__nothing_affected__is_told_by_an_empty_object() -> None:
    assert audited(BULK, {"leaky": ["1.5.0"]}) == {}


def test_tree__findings_with_their_paths_and_counts() -> None:
    asked = {
        "name": "root",
        "dependencies": {
            "a": {"version": "1.0.0", "dependencies": {"leaky": {"version": "1.2.0"}}},
            "leaky": {"version": "1.2.0"},
            "other": {"version": "npm:evil@4.0.0"},
        },
    }
    found = audited(QUICK, asked)
    by_name = {each["module_name"]: each for each in found["advisories"].values()}
    assert by_name["leaky"]["findings"] == [{"version": "1.2.0", "paths": ["a>leaky", "leaky"]}]
    assert by_name["leaky"]["patched_versions"] == ">=1.5.0"
    assert by_name["leaky"]["cves"] == ["CVE-2026-1"]
    assert by_name["evil"]["findings"][0]["version"] == "4.0.0"
    assert by_name["evil"]["patched_versions"] == "<0.0.0"
    assert found["metadata"]["vulnerabilities"] == {
        "info": 0, "low": 0, "moderate": 0, "high": 1, "critical": 1
    }  # fmt: skip
    assert found["metadata"]["totalDependencies"] == 4
    assert {each["module"] for each in found["actions"]} == {"leaky", "evil"}


@pytest.mark.parametrize("asked", [[], {"x": "1.0.0"}, {"x": [1]}])
def test_bulk__what_is_no_such_request__is_refused(asked: Any) -> None:
    with pytest.raises(MalformedRequest):
        audited(BULK, asked)


def test_tree__too_deep__is_refused() -> None:
    node: dict[str, Any] = {}
    for _ in range(150):
        node = {"dependencies": {"a": {"version": "1.0.0", **node}}}
    with pytest.raises(MalformedRequest):
        audited(QUICK, node)


def test_search__is_no_audit() -> None:
    assert audited("-/v1/search?text=x", {}) is None
