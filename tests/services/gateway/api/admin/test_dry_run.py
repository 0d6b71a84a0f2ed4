"""What a rule would have refused: rules about sources count for what came from these alone."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from services.gateway.api.admin import dry_run as under_test
from shared.judging.listings import Listing
from shared.policy.age import Seen
from shared.policy.named import NamedRule
from shared.protocols import PROTOCOLS
from shared.protocols.base import PackageProxyBase

every = pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda each: each.name)
RULE = NamedRule("none of it", sources=("central",), refuse=True)
WARNS = NamedRule("none of it", sources=("central",), refuse=True, action="warn")
ROWS: list[Any] = [{"version": "1.0", "first_at": 1e9}]


@every
def test_rule_about_sources__is_about_no_protocol_without_one_of_them(protocol: PackageProxyBase) -> None:
    anywhere = NamedRule("all", refuse=True)
    rules = [RULE, anywhere]
    assert under_test.about_project(rules, protocol.name, "demo", {"central", "mirror"}) == rules
    for others in ({"mirror"}, set[str]()):
        assert under_test.about_project(rules, protocol.name, "demo", others) == [anywhere]


@every
@pytest.mark.parametrize("rule", [RULE, WARNS], ids=["holds", "warns"])
@pytest.mark.parametrize(("source", "counts"), [("central", True), ("mirror", False), ("", True)])
def test_rule_about_sources__asks_where_the_list_came_from(
    protocol: PackageProxyBase, rule: NamedRule, source: str, counts: bool
) -> None:
    """An unknown one is any, and told."""
    listing = Listing("demo", b"", Seen(1.0, source=source), [])
    found = under_test.refused(protocol, "demo", [rule], ROWS, listing, 1e9)
    assert [why for _, _, why in found] == (["none of it: refused"] if counts else [])
    assert under_test.is_source_unknown(rule, listing) == (not source)
    assert under_test.is_source_unknown(rule, None)
    assert not under_test.is_source_unknown(NamedRule("all", refuse=True), None)


def test_rule_about_sources__has_the_list_looked_at() -> None:
    assert [under_test.asks_list(each) for each in (RULE, NamedRule("all", refuse=True))] == [True, False]
    assert under_test.asks_list(NamedRule("typos", typo_of=("demo",)))


@pytest.mark.parametrize(
    ("names", "refused", "shuts"),
    [
        ((), ["a", "b"], True),
        ((), ["a"], False),  # b is left
        (("a", "b"), ["a", "b"], True),
        (("a*",), ["a", "b"], True),
        ((), [], False),
    ],
)
def test_rule_that_leaves_nothing_of_one_protocol__shuts_it_whatever_is_left_of_others(
    names: tuple[str, ...], refused: list[str], shuts: bool
) -> None:
    rows: list[Any] = [({"protocol": "npm", "project": each}, "") for each in refused]
    served = Counter({"npm": 2, "pypi": 100})
    assert under_test._shuts_one(NamedRule("x", names=names, refuse=True), rows, served) is shuts


def test_rule_about_one_package__is_asked_for_though_nothing_else_was_served() -> None:
    rows: list[Any] = [({"protocol": "npm", "project": "a"}, "")] * 2
    served = Counter({"npm": 2})
    assert not under_test._shuts_one(NamedRule("x", names=("a",), refuse=True), rows, served)
    assert under_test._shuts_one(NamedRule("x", refuse=True), rows, served)
