"""No downgrade of provenance: a version without what its line had is hidden, and no way gives a byte."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.firewall.feeds import purl_of
from tests.firewall.provenances import ATTESTING, Attesting, NpmAttesting
from tests.firewall.resolutions import REQUIREMENTS, resolved
from tests.firewall.shelves import DAY, OLD, SHELVES, Shelf, moment
from tests.firewall.test_rules import Policy, statuses
from tests.gates.ways import COLD_WAYS, Haul
from tests.support.orchard import Cluster, cluster, problem, wait_until
from tests.support.sigstore import RegistryKey, Sigstore
from tests.support.upstream import Upstream

ADMIN = {"authorization": "Bearer operators-token-of-tests"}
kinds = pytest.mark.parametrize("kind", ATTESTING)
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def sigstore() -> Sigstore:
    return Sigstore()


@pytest.fixture(scope="module")
def registry_key() -> RegistryKey:
    return RegistryKey()


@pytest.fixture(scope="module")
def settings(
    sigstore: Sigstore, registry_key: RegistryKey, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("root")
    return {
        "ORCHARD_TRUST_ROOT": str(sigstore.write_root(folder / "trusted_root.json")),
        "ORCHARD_REGISTRY_KEYS": str(registry_key.write(folder / "keys.json")),
        "ORCHARD_CACHE_TTL_INDEX": "1",
        "ORCHARD_ADMIN_TOKEN": "operators-token-of-tests",
    }


@pytest.fixture(scope="module")
def orchard(
    tmp_path_factory: pytest.TempPathFactory, upstream: Upstream, settings: dict[str, str]
) -> Iterator[Cluster]:
    asked = {**settings, "ORCHARD_TRUST": "no-downgrade"}
    with cluster(tmp_path_factory.mktemp("trust"), upstream, gateways=2, **asked) as running:
        yield running


@pytest.fixture
def policy(orchard: Cluster) -> Iterator[Policy]:
    found = Policy(orchard)
    yield found
    found.apply()


NewAttesting = Callable[[str], Attesting]


@pytest.fixture
def attesting(orchard: Cluster, upstream: Upstream) -> NewAttesting:
    return lambda kind: ATTESTING[kind](kind, orchard, upstream, f"attested-{next(_numbers)}")


def why(it: Shelf, version: str) -> dict[str, Any]:
    answer = it.orchard.get("/api/v1/why", params={"of": f"{purl_of(it)}@{version}"})
    assert answer.status_code == 200, answer.text
    (found,) = answer.json()["items"]
    return dict(found)


def refused(it: Shelf, path: str, words: str) -> None:
    answer = it.get(path)
    assert answer.status_code == 403, path
    told = problem(answer)
    assert told["code"] == "trust_downgrade"
    assert words in told["detail"]


@pytest.mark.parametrize("kind", ["pypi", "npm"])
@pytest.mark.parametrize("way", COLD_WAYS)
def test_version_without_what_its_line_had__no_way_gives_a_byte(
    attesting: NewAttesting, sigstore: Sigstore, kind: str, way: str
) -> None:
    its = attesting(kind)
    it = its.shelf
    its.put("1.0.0", "1.1.0")
    its.attest("1.0.0", sigstore)
    haul = Haul(it.orchard.gateway.port, it.file("1.1.0"), len(it.data["1.1.0"]))
    COLD_WAYS[way](haul)
    assert {answer.status for answer in haul.answers} == {403}
    assert not any(haul.known)
    assert it.asked("1.1.0") == 0
    head = Haul(it.orchard.gateway.port, it.file("1.1.0"), 1).ask(method="HEAD")
    assert (head.status, head.body) == (403, b"")
    for path in (it.file("1.1.0"), *it.beside("1.1.0")):
        refused(it, path, "it has no provenance, unlike 1")
    assert it.shown() == ["1.0.0"]
    assert it.newest(it.get(it.page).text) in ("", "1.0.0")
    for path in (it.file("1.0.0"), *it.beside("1.0.0")):
        assert it.get(path).status_code == 200, path


@kinds
def test_another_repository__a_false_one__and_one_that_is_right(
    attesting: NewAttesting, sigstore: Sigstore, kind: str
) -> None:
    its = attesting(kind)
    it = its.shelf
    its.put("1.0.0", "1.1.0", "1.2.0", "1.3.0")
    its.attest("1.0.0", sigstore)
    its.attest("1.1.0", sigstore, "them/lib")
    its.tell("1.2.0", its.document(its.sign("1.0.0", sigstore, "us/lib")))
    its.attest("1.3.0", sigstore)
    assert it.shown() == ["1.0.0", "1.3.0"]
    refused(it, it.file("1.1.0"), "published by them/lib (GitHub, release.yml), unlike")
    refused(it, it.file("1.2.0"), "its provenance is false: it is about")
    assert it.get(it.file("1.3.0")).content == it.data["1.3.0"]


@kinds
def test_why_and_versions__tell_who_published(attesting: NewAttesting, sigstore: Sigstore, kind: str) -> None:
    its = attesting(kind)
    it = its.shelf
    its.put("1.0.0", "1.1.0", "1.2.0", "1.3.0")
    its.attest("1.0.0", sigstore)
    its.attest("1.1.0", sigstore, statement={"predicateType": ""}, issuer="https://issuer.example")
    its.tell("1.2.0", None)
    assert it.get(it.page).status_code == 200
    found = [why(it, f"1.{number}.0") for number in range(4)]
    assert [each["rule"] for each in found] == ["", "trust", "unverified", "trust"]
    told = [each["provenance"] for each in found]
    assert [each["status"] for each in told] == ["verified", "failed", "unknown", "none"]
    publisher = {key: told[0][key] for key in ("kind", "repository", "workflow")}
    assert publisher == {"kind": "GitHub", "repository": "us/lib", "workflow": "release.yml"}
    versions = it.orchard.get(f"/api/v1/versions/{it.protocol}/{it.name}").json()["items"]
    assert [each["provenance"]["status"] for each in versions] == [each["status"] for each in reversed(told)]
    page = it.orchard.get(
        f"/ui/packages/{it.protocol}/{quote(it.name, safe='')}", headers={"accept": "text/html"}
    )
    assert page.status_code == 200
    assert "us/lib (GitHub, release.yml)" in page.text
    assert "provenance: failed" in page.text


@kinds
def test_not_to_be_had_now__served_until_it_is_known(
    attesting: NewAttesting, sigstore: Sigstore, kind: str
) -> None:
    its = attesting(kind)
    it = its.shelf
    its.put("1.0.0", "1.1.0")
    its.attest("1.0.0", sigstore)
    its.tell("1.1.0", None)
    assert it.shown() == ["1.0.0", "1.1.0"]
    assert it.get(it.file("1.1.0")).status_code == 200


@kinds
def test_huge__is_false__and_costs_no_more_than_its_bound(
    attesting: NewAttesting, sigstore: Sigstore, kind: str
) -> None:
    its = attesting(kind)
    it = its.shelf
    its.put("1.0.0", "1.1.0")
    its.attest("1.0.0", sigstore)
    its.tell("1.1.0", b"[" * (1024 * 1024 + 1))
    refused(it, it.file("1.1.0"), "more than 1048576 bytes")
    assert it.shown() == ["1.0.0"]


@kinds
def test_exempt__is_served(attesting: NewAttesting, sigstore: Sigstore, orchard: Cluster, kind: str) -> None:
    its = attesting(kind)
    it = its.shelf
    its.put("1.0.0", "1.1.0", "1.2.0")
    its.attest("1.0.0", sigstore)
    assert it.shown() == ["1.0.0"]
    body = {"of": f"{purl_of(it)}@1.1.0", "reason": "read it"}
    address = orchard.url("/api/v1/admin/exemptions")
    assert httpx.post(address, json=body, headers=ADMIN, timeout=30, trust_env=False).status_code == 201
    wait_until(lambda: it.get(it.file("1.1.0")).status_code == 200, what="the exemption")
    wait_until(lambda: it.shown() == ["1.0.0", "1.1.0"], what="the page")
    refused(it, it.file("1.2.0"), "no provenance")


@kinds
def test_resolution__chooses_the_newest_that_is_no_downgrade(
    attesting: NewAttesting, sigstore: Sigstore, kind: str
) -> None:
    its = attesting(kind)
    it = its.shelf
    its.put("1.0.0", "1.1.0")
    its.attest("1.0.0", sigstore)
    its.attest("1.1.0", sigstore, "them/lib")
    assert resolved(it) == ["1.0.0"]


@kinds
def test_policy_file__in_place_of_the_setting__stored_and_hot_files_and_pages_follow(
    attesting: NewAttesting, sigstore: Sigstore, orchard: Cluster, policy: Policy, kind: str
) -> None:
    its = attesting(kind)
    it = its.shelf
    policy.apply(f"name = 'no matter'\ntrust = 'off'\nnames = ['{it.name}']")
    its.put("1.0.0", "1.1.0")
    its.attest("1.0.0", sigstore)
    ways = (it.page, it.file("1.1.0"), *it.beside("1.1.0"))
    for path in ways * 3:
        assert statuses(orchard, path) == [200, 200]
    assert it.shown() == ["1.0.0", "1.1.0"]
    policy.apply()
    for path in ways[1:]:
        wait_until(lambda path=path: statuses(orchard, path) == [403, 403], what=path)
        refused(it, path, "no provenance")
    wait_until(lambda: it.shown() == ["1.0.0"], what="the page")
    policy.apply(f"name = 'to be seen'\ntrust = 'verify'\nnames = ['{it.name}']")
    wait_until(lambda: statuses(orchard, it.file("1.1.0")) == [200, 200], what="the rule's end")
    wait_until(lambda: it.shown() == ["1.0.0", "1.1.0"], what="the whole page")
    assert why(it, "1.0.0")["provenance"]["repository"] == "us/lib"


@kinds
def test_not_to_be_had_now__held_if_that_is_said(
    attesting: NewAttesting, sigstore: Sigstore, policy: Policy, kind: str
) -> None:
    its = attesting(kind)
    it = its.shelf
    policy.apply(f"name = 'sure'\ntrust = 'no-downgrade'\nunverified = 'hold'\nnames = ['{it.name}']")
    its.put("1.0.0", "1.1.0")
    its.attest("1.0.0", sigstore)
    its.tell("1.1.0", None)
    assert it.shown() == ["1.0.0"]
    refused(it, it.file("1.1.0"), "not verified yet")
    assert it.get(it.file("1.0.0")).status_code == 200


@kinds
def test_kept_resolution_and_ensure__refused_while_they_name_it(
    attesting: NewAttesting, sigstore: Sigstore, orchard: Cluster, policy: Policy, kind: str
) -> None:
    its = attesting(kind)
    it = its.shelf
    policy.apply(f"name = 'no matter'\ntrust = 'off'\nnames = ['{it.name}']")
    its.put("1.0.0", "1.1.0")
    its.attest("1.0.0", sigstore)
    requirement = REQUIREMENTS[it.protocol].format(it.name)
    table = (
        f'dependencies = {{ "{it.name}" = "*" }}' if it.protocol == "npm" else f"requirements = ['{it.name}']"
    )
    asked: dict[str, dict[str, Any]] = {
        "resolve": {"json": {"protocol": it.protocol, "requirements": [requirement]}},
        "ensure": {"content": f"[{it.protocol}]\n{table}\n"},
    }

    def answer(what: str) -> httpx.Response:
        return httpx.post(orchard.url(f"/api/v1/{what}"), **asked[what], timeout=30, trust_env=False)

    for what in asked:
        wait_until(lambda what=what: answer(what).status_code == 200, seconds=60, what=what)
    key = answer("ensure").json()["key"]
    policy.apply()
    for what in asked:
        wait_until(lambda what=what: answer(what).status_code == 403, what=f"the refusal of {what}")
        assert answer(what).json()["code"] == "trust_downgrade"
    assert orchard.get(f"/api/v1/ensures/{key}").status_code == 403


@kinds
def test_view__is_without_it_too(attesting: NewAttesting, sigstore: Sigstore, kind: str) -> None:
    its = attesting(kind)
    it = its.shelf
    its.put("1.0.0", "1.1.0")
    its.attest("1.0.0", sigstore)
    view = f"/v/at-{moment(DAY)}"
    answer = it.get(view + it.page)
    assert answer.status_code == 200
    assert it.listed(answer.text) == ["1.0.0"]
    assert it.get(view + it.file("1.1.0")).status_code == 403
    assert it.get(view + it.file("1.0.0")).status_code == 200


@pytest.mark.parametrize("kind", ["npm", "npm, scoped"])
def test_registry_s_signature__false_or_gone__is_held(
    attesting: NewAttesting, registry_key: RegistryKey, kind: str
) -> None:
    its = attesting(kind)
    assert isinstance(its, NpmAttesting)
    it = its.shelf
    its.put("1.0.0", "1.1.0", "1.2.0", "1.3.0", "1.4.0")
    its.sign_by(registry_key, "1.0.0")
    its.sign_by(registry_key, "1.1.0", text="something else")
    its.sign_by(RegistryKey("SHA256:another"), "1.2.0")
    its.sign_by(None, "1.3.0")
    its.sign_by(registry_key, "1.4.0")
    assert it.shown() == ["1.0.0", "1.4.0"]
    refused(it, it.file("1.1.0"), "its registry's signature is false")
    refused(it, it.file("1.2.0"), "its registry's signature is false")
    refused(it, it.file("1.3.0"), "its registry has not signed it, unlike 1.0.0")
    assert it.get(it.file("1.4.0")).status_code == 200
    told = why(it, "1.4.0")["provenance"]
    assert (told["status"], told["signature"]) == ("none", "verified")


@pytest.mark.parametrize("kind", SHELVES)
def test_nothing_has_provenance__nothing_is_held(orchard: Cluster, upstream: Upstream, kind: str) -> None:
    it = SHELVES[kind](orchard, upstream, f"plain-{next(_numbers)}")
    it.put({"1.0.0": OLD, "1.1.0": OLD})
    assert it.shown() == ["1.0.0", "1.1.0"]
    for path in (it.file("1.1.0"), *it.beside("1.1.0")):
        assert it.get(path).status_code == 200, path
