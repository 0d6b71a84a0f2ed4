"""`orchard build start --policy`: a build is held to rules of its own, beside the server's."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from tests.firewall.shelves import DAY, SHELVES
from tests.firewall.test_licences import KINDS as LICENCE_KINDS
from tests.firewall.test_licences import fetch, publish
from tests.support.orchard import Cluster
from tests.views.conftest import ADMIN, NewShelf
from tests.views.test_builds import NewBuild, build

__all__ = ["build"]  # a fixture
kinds = pytest.mark.parametrize("kind", SHELVES)
PLAIN = {"accept-encoding": "identity"}
DENY = "[[rule]]\nname = 'no copyleft'\nlicences = {deny = ['AGPL-3.0-only']}\n"


def started(orchard: Cluster, **body: str) -> httpx.Response:
    return httpx.post(orchard.url("/api/v1/builds"), json=body, headers=ADMIN, trust_env=False, timeout=60)


@kinds
def test_minimum_age__the_build_sees_what_was_there_so_long_ago(
    shelf: NewShelf, build: NewBuild, kind: str
) -> None:
    it = shelf(kind)
    it.put({"1.0.0": 300 * DAY, "2.0.0": 5 * DAY})
    assert it.shown() == ["1.0.0", "2.0.0"]
    session = build(policy="[[rule]]\nname = 'a week'\nminimum_age = '7d'\n")
    assert it.listed(session.ask(it.page, **PLAIN).body.decode()) == ["1.0.0"]
    assert session.get(it.file("1.0.0")).status == 200
    assert session.get(it.file("2.0.0")).status == 404
    assert session.seal()["rules"][0]["minimum_age"] == "7d"


def test_the_earliest_moment_counts__of_its_policy_and_of_at(build: NewBuild) -> None:
    date = "[[rule]]\nname = 'then'\nnothing_after = '2026-02-01'\n"
    assert build(policy=date).told["at"] == "at-1769904000"
    assert build(policy=date, at="2026-01-01").told["at"] == "at-1767225600"
    assert build(policy=date, at="2026-03-01").told["at"] == "at-1769904000"


@kinds
def test_a_name_that_it_refuses__is_refused_in_the_build_alone(
    shelf: NewShelf, build: NewBuild, kind: str
) -> None:
    it, other = shelf(kind), shelf(kind)
    for each in (it, other):
        each.put({"1.0.0": 300 * DAY})
    project = f"org.example:{it.name}" if kind == "maven" else it.name
    session = build(policy=f"[[rule]]\nname = 'not that'\nnames = ['{project}']\nrefuse = true\n")
    for path in (it.page, it.file("1.0.0")):
        assert session.ask(path).status == 403, path
        assert it.get(path).status_code == 200, path
    assert session.get(other.page).status == 200
    session.seal()


@pytest.mark.parametrize("kind", [*LICENCE_KINDS, "npm"])
def test_a_licence_that_it_denies__no_seal_and_the_version_is_named(
    shelf: NewShelf, build: NewBuild, kind: str
) -> None:
    it = publish(shelf, kind)
    for version in ("1.0.0", "2.0.0", "3.0.0"):
        fetch(it, kind, version)
    allowed, denied = build(policy=DENY), build(policy=DENY)
    for session, versions in ((allowed, ("1.0.0", "3.0.0")), (denied, ("1.0.0", "2.0.0"))):
        session.get(it.page)
        for version in versions:
            pom = (it.file(version).replace(".jar", ".pom"),) if it.protocol == "maven" else ()
            for path in (*pom, it.file(version)):
                assert session.get(path).status == 200
    assert allowed.seal()["state"] == "sealed"
    for _ in range(2):
        answer = denied.call("/seal", "POST")
        assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
        said = answer.json()["detail"].split(": ", 1)[1]
        assert re.fullmatch(r"\S+ 2(\.0\.0)?: no copyleft: its licence is AGPL-3.0-only", said)
    assert denied.ask(it.file("3.0.0")).status == 410, "it records no more"


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ("[[rule]]\nname = 'x'\nrefuse = true\naction = 'warn'\n", "none only warns"),
        ("[[rule]]\nname = 'x'\ntrust = 'verify'\n", "by the server's policy"),
        ("[[rule]]\nname = 'x'\nminimum_age = '7d'\nprotocols = ['npm']\n", "all that the build sees"),
        ("[[rule]]\nname = 'x'\n", "expected one of"),
        ("x", "policy: "),
    ],
)
def test_rules_that_no_build_can_be_held_to__are_refused_at_its_start(
    orchard: Cluster, policy: str, said: str
) -> None:
    answer = started(orchard, policy=policy)
    assert answer.status_code == 400 and said in answer.json()["detail"], answer.text


def test_the_servers_rules_count_as_ever(orchard: Cluster, shelf: NewShelf, build: NewBuild) -> None:
    it = shelf("npm")
    it.put({"1.0.0": 300 * DAY})
    block: dict[str, Any] = {"protocol": it.protocol, "name": it.name, "reason": "it steals"}
    made = httpx.post(
        orchard.url("/api/v1/admin/blocks"), json=block, headers=ADMIN, trust_env=False, timeout=60
    )
    assert made.status_code == 201
    session = build(policy="[[rule]]\nname = 'all'\nnames = ['nobody']\nrefuse = true\n")
    assert session.ask(it.page).status == 403
