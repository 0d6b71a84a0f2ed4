"""`orchard exempt` and `orchard why`, through the API, over all protocols."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from typing import Any

import pytest

from services.gateway.api.admin.subjects import read_subject
from tests.firewall.shelves import OLD, SHELVES, YOUNG, NewShelf, Shelf
from tests.support.orchard import Cluster, wait_until
from tests.support.stores import ROOT
from tests.support.upstream import Upstream

_numbers = itertools.count(1)
TYPES = {"pypi": "pypi", "npm": "npm", "cargo": "cargo", "maven": "maven/org.example"}


def orchard_command(orchard: Cluster, *words: str, fails: bool = False) -> Any:
    env = {name: value for name, value in os.environ.items() if not name.startswith("ORCHARD_")}
    env |= {"ORCHARD_URL": orchard.gateway.base, "ORCHARD_TOKEN": "operators-token-of-tests"}
    done = subprocess.run(
        [sys.executable, "-m", "services.cli", *words, "--json"], cwd=ROOT, env=env, capture_output=True
    )
    assert (done.returncode != 0) == fails, done.stderr.decode()
    return None if fails else json.loads(done.stdout)


def purl(it: Shelf, version: str = "") -> str:
    name = it.name.replace("@", "%40")
    return f"pkg:{TYPES[it.protocol]}/{name}{f'@{version}' if version else ''}"


@pytest.mark.parametrize("kind", SHELVES)
def test_exempt__a_version__why_says_so_and_it_is_served_until_it_is_removed(
    shelf: NewShelf, orchard: Cluster, kind: str
) -> None:
    it = shelf(kind)
    it.put({"1.0.0": OLD, "2.0.0": YOUNG})
    assert it.shown() == ["1.0.0"]
    young = purl(it, "2.0.0")
    (told,) = orchard_command(orchard, "why", young)["items"]
    assert (told["allowed"], told["rule"]) == (False, "minimum_age")
    assert "served from" in told["why"] and told["until"] > told["published"]
    (old,) = orchard_command(orchard, "why", purl(it, "1.0.0"))["items"]
    assert (old["allowed"], old["rule"]) == (True, "")
    assert [each["what"] for each in orchard_command(orchard, "why", purl(it))["items"]] == [told["what"]]

    words = ("exempt", "add", young, "--reason", "a fix", "--expires", "2d")
    made = orchard_command(orchard, *words)
    assert made["reason"] == "a fix" and made["expires_at"] > made["created_at"]
    orchard_command(orchard, *words, fails=True)
    wait_until(lambda: it.get(it.file("2.0.0")).content == it.data["2.0.0"], what="the exemption")
    assert it.shown() == ["1.0.0", "2.0.0"]
    (told,) = orchard_command(orchard, "why", young)["items"]
    assert (told["allowed"], told["rule"], told["why"]) == (True, "exemption", "a fix")
    assert made["what"] in [each["what"] for each in orchard_command(orchard, "exempt", "list")["items"]]

    orchard_command(orchard, "exempt", "remove", young)
    wait_until(lambda: it.get(it.file("2.0.0")).status_code == 403, what="its end")
    assert it.shown() == ["1.0.0"]
    actions = [each["action"] for each in orchard_command(orchard, "audit")["items"][:2]]
    assert actions == ["exemption.delete", "exemption.create"]


@pytest.mark.parametrize(
    ("what", "more"),
    [
        ("left-pad", []),
        ("pkg:deb/debian/curl", []),
        ("pkg:npm/left-pad@^1", []),
        ("pkg:npm/left-pad", ["--expires", "soon"]),
        ("pkg:npm/left-pad", ["--expires", "2020-01-01"]),
        ("pkg:pypi/%00", []),
        ("ab" * 31, []),
    ],
)
def test_exempt__what_nothing_can_be_called__is_refused(orchard: Cluster, what: str, more: list[str]) -> None:
    orchard_command(orchard, "exempt", "add", what, "--reason", "x", *more, fails=True)


@pytest.mark.parametrize("kind", SHELVES)
def test_exempt__what_is_blocked_by_hand__is_told_to_be_refused_still(
    shelf: NewShelf, orchard: Cluster, kind: str
) -> None:
    it = shelf(kind)
    it.put({"1.0.0": OLD})
    assert it.get(it.file("1.0.0")).status_code == 200
    block = orchard_command(orchard, "held", "deny", purl(it, "1.0.0"), "--reason", "no")
    for words in (("exempt", "add"), ("held", "approve")):
        made = orchard_command(orchard, *words, purl(it, "1.0.0"), "--reason", "a fix")
        assert f"`orchard blocks remove {block['id']}`" in made["refused"]
        (told,) = orchard_command(orchard, "why", purl(it, "1.0.0"))["items"]
        assert (told["allowed"], told["rule"]) == (False, "block")
        orchard_command(orchard, "exempt", "remove", made["what"])
    orchard_command(orchard, "blocks", "remove", str(block["id"]))
    made = orchard_command(orchard, "held", "approve", purl(it, "1.0.0"), "--reason", "a fix")
    assert (made["refused"], made["was_held"]) == ("", False)


ODD = {  # of each protocol what it calls a package, and how a package URL may spell it
    "pypi": ("thing-odd-x{}", "Thing_Odd.X{}"),
    "npm": ("ThingODD{}", "ThingODD{}"),
    "npm, scoped": ("ThingODD{}", "ThingODD{}"),
    "cargo": ("thing_odd{}", "Thing_Odd{}"),
    "maven": ("Thing_ODD.x{}", "Thing_ODD.x{}"),
}


@pytest.mark.parametrize("kind", ODD)
def test_odd_names__are_asked_about_exempt_blocked_and_found_by_their_package_urls(
    orchard: Cluster, upstream: Upstream, kind: str
) -> None:
    number = next(_numbers)
    name, spelt = (each.format(number) for each in ODD[kind])
    it = SHELVES[kind](orchard, upstream, name)
    it.put({"1.0.0": OLD, "2.0.0": YOUNG})
    assert it.shown() == ["1.0.0"]

    def of(version: str) -> str:
        return purl(it, version).replace(name, spelt)

    (told,) = orchard_command(orchard, "why", of("2.0.0"))["items"]
    assert told["rule"] == "minimum_age"
    assert len(orchard_command(orchard, "held", "show", of("2.0.0"))["items"]) == 1
    for words in (("exempt", "add"), ("held", "approve")):
        made = orchard_command(orchard, *words, of("2.0.0"), "--reason", "a fix")
        wait_until(lambda: it.get(it.file("2.0.0")).status_code == 200, what="the exemption")
        assert it.shown() == ["1.0.0", "2.0.0"]
        exempt = [each["what"] for each in orchard_command(orchard, "exempt", "list")["items"]]
        assert exempt.count(made["what"]) == 1
        orchard_command(orchard, "exempt", "remove", made["what"])
        wait_until(lambda: it.get(it.file("2.0.0")).status_code == 403, what="its end")

    orchard_command(orchard, "held", "deny", of("1.0.0"), "--reason", "no")
    wait_until(lambda: it.get(it.file("1.0.0")).status_code == 403, what="the block")
    assert it.shown() == []
    (told,) = orchard_command(orchard, "why", of("1.0.0"))["items"]
    assert (told["rule"], told["why"]) == ("block", "no")
    wait_until(
        lambda: orchard_command(orchard, "who-has", of("2.0.0"))["items"], seconds=60, what="the ledger"
    )
    got = orchard_command(orchard, "who-has", of("2.0.0"))["items"]
    # An exemption tells the canonical version, the ledger as its registry spells it.
    assert {read_subject(each["purl"]) for each in got} == {read_subject(made["what"])}
