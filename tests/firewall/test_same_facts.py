"""A resolution is judged with the same facts as its page: where a version came from, since when it is there,
and what its bytes are."""

from __future__ import annotations

import hashlib

from tests.firewall.resolutions import resolved
from tests.firewall.shelves import OLD, Npm, Shelf, moment
from tests.firewall.test_rules import NewShelf, Policy, orchard, policy, purl, shelf
from tests.support.npm_builders import publish
from tests.support.orchard import wait_until

__all__ = ["orchard", "policy", "shelf"]  # fixtures


def test_rule_about_another_source__is_asked_of_neither(shelf: NewShelf, policy: Policy) -> None:
    it = shelf("npm")
    it.put({"1.0.0": OLD, "2.0.0": OLD})
    other = {"protocol": "npm", "name": "elsewhere", "url": "https://packages.example.com/"}
    assert policy.post("upstreams", **other, enabled=False).status_code in (201, 409)
    policy.apply("name = 'not from there'\nwhen = 'version == \"2.0.0\"'\nsources = ['elsewhere']")
    assert it.shown() == ["1.0.0", "2.0.0"]
    assert resolved(it) == ["2.0.0"]


def test_backdated_version__is_new_in_both(shelf: NewShelf, policy: Policy) -> None:
    it = shelf("npm")
    assert isinstance(it, Npm)
    plain, scripts = {"scripts": {}}, {"scripts": {"postinstall": "node x.js"}}
    publish(it.upstream, it.name, {"1.0.0": plain}, time={"1.0.0": moment(2 * OLD)})
    assert it.shown() == ["1.0.0"]
    policy.apply(f"name = 'scripts'\ninstall_scripts = 'new'\nbegan = '{moment(OLD / 2)[:10]}'")
    times = {"1.0.0": moment(2 * OLD), "1.1.0": moment(OLD)}
    publish(it.upstream, it.name, {"1.0.0": plain, "1.1.0": scripts}, time=times)
    wait_until(lambda: it.get(it.page).status_code == 200 and ruled(it, "1.1.0"), what="the new list")
    assert it.shown() == ["1.0.0"]
    assert resolved(it) == ["1.0.0"]


def ruled(it: Shelf, version: str) -> bool:
    """Whether the list that is stored has a version which the policy file holds back."""
    said = it.orchard.get("/api/v1/why", params={"of": purl(it, version)}).json().get("items", ())
    return {each["rule"] for each in said} == {"policy"}


def test_exempt_bytes_of_a_blocked_version__are_in_both(shelf: NewShelf, policy: Policy) -> None:
    it = shelf("pypi")
    it.put({"1.0.0": OLD, "2.0.0": OLD})
    sha256 = hashlib.sha256(it.data["2.0.0"]).hexdigest()
    blocked = policy.post("blocks", protocol="pypi", name=it.name, version="2", reason="no")
    assert blocked.status_code == 201, blocked.text
    exempt = policy.post("exemptions", of=sha256, reason="read")
    assert exempt.status_code == 201, exempt.text
    wait_until(lambda: it.shown() == ["1.0.0", "2.0.0"], what="the page with it")
    assert resolved(it) == ["2.0.0"]
