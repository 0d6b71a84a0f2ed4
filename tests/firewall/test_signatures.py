"""Signatures of files: what a rule wants signed by certain keys comes in signed by them, or not at all."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator

import httpx
import pytest

from tests.firewall.feeds import purl_of
from tests.firewall.shelves import OLD, Maven
from tests.firewall.test_rules import Policy
from tests.firewall.test_trust import refused, why
from tests.gates.ways import COLD_WAYS, Haul
from tests.support.openpgp import Signer
from tests.support.orchard import Cluster, cluster, wait_until
from tests.support.upstream import Fault, Upstream

ADMIN = {"authorization": "Bearer operators-token-of-tests"}
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def signer() -> Signer:
    return Signer("us")


@pytest.fixture(scope="module")
def orchard(
    tmp_path_factory: pytest.TempPathFactory, upstream: Upstream, signer: Signer
) -> Iterator[Cluster]:
    settings = {
        "ORCHARD_SIGNING_KEYS": str(signer.write(tmp_path_factory.mktemp("keys")).parent),
        "ORCHARD_CACHE_TTL_INDEX": "1",
        "ORCHARD_ADMIN_TOKEN": "operators-token-of-tests",
    }
    with cluster(tmp_path_factory.mktemp("signed"), upstream, gateways=2, **settings) as running:
        yield running


@pytest.fixture
def policy(orchard: Cluster) -> Iterator[Policy]:
    found = Policy(orchard)
    yield found
    found.apply()


class Signed(Maven):
    """An artifact whose files are signed."""

    def files(self, version: str) -> tuple[str, str]:
        jar = self.file(version)
        return jar, jar.replace(".jar", ".pom")

    def sign(self, version: str, signer: Signer, *, of: bytes | None = None) -> None:
        for path in self.files(version):
            content = self.upstream.reply(path).body if of is None else of
            self.upstream.put(f"{path}.asc", signer.sign(content), "application/pgp-signature")

    def signatures_asked(self) -> int:
        return sum(self.upstream.count(f"{path}.asc") for v in self.data for path in self.files(v))


@pytest.fixture
def it(orchard: Cluster, upstream: Upstream) -> Signed:
    found = Signed(orchard, upstream, f"signed-{next(_numbers)}")
    found.put(dict.fromkeys(("1.0.0", "1.1.0", "1.2.0", "2.0.0"), OLD))
    return found


NewRule = Callable[..., None]


@pytest.fixture
def only_by(policy: Policy, it: Signed) -> NewRule:
    """Put the rule in force that `it` must be signed by that key."""

    def apply(signer: Signer, *more: str) -> None:
        fingerprint = signer.fingerprint.upper()
        lines = (
            'name = "signed"',
            'protocols = ["maven"]',
            f'names = ["org.example:{it.name}"]',
            f'signed_by = ["0x{fingerprint}"]',
            *more,
        )
        policy.apply("\n".join(lines))

    return apply


def test_right_signature__asks_for_it_once_and_says_whose_it_is(
    it: Signed, signer: Signer, only_by: NewRule
) -> None:
    only_by(signer)
    it.sign("1.0.0", signer)
    jar, pom = it.files("1.0.0")
    for path in (jar, pom, jar, pom):
        assert it.get(path).status_code == 200, path
    for path in (jar, pom):
        assert it.upstream.count(f"{path}.asc") == 1
    assert it.upstream.count(it.page) == 0, "the list of versions is no matter"
    assert it.shown() == list(it.data)
    told = why(it, "1.0.0")["provenance"]
    assert (told["status"], told["kind"], told["repository"]) == ("verified", "OpenPGP", signer.fingerprint)
    assert why(it, "1.1.0")["provenance"] == {"status": "none"}
    address = f"/api/v1/versions/maven/org.example:{it.name}"
    files = it.orchard.get(address, params={"version": "1.0.0"}).json()["files"]
    assert [each["provenance"]["status"] for each in files] == ["verified", "verified"]


def test_group_without_a_rule__is_asked_for_no_signature(it: Signed, signer: Signer, policy: Policy) -> None:
    policy.apply(
        f'name = "others"\nprotocols = ["maven"]\nnames = ["org.other"]\nsigned_by = ["{signer.fingerprint}"]'
    )
    assert it.get(it.file("1.0.0")).status_code == 200
    assert it.signatures_asked() == 0


@pytest.mark.parametrize("way", COLD_WAYS)
def test_false_signature__no_way_gives_a_byte(it: Signed, signer: Signer, only_by: NewRule, way: str) -> None:
    only_by(signer)
    it.sign("1.0.0", signer, of=b"something else")
    haul = Haul(it.orchard.gateway.port, it.file("1.0.0"), len(it.data["1.0.0"]))
    COLD_WAYS[way](haul)
    assert {answer.status for answer in haul.answers} <= {403, 416}, haul.words
    assert not any(haul.known)


def test_false_one__is_hidden_and_nobody_asks_for_it_again(
    it: Signed, signer: Signer, only_by: NewRule
) -> None:
    only_by(signer)
    it.sign("1.1.0", signer, of=b"something else")
    assert it.shown() == list(it.data)
    jar, pom = it.files("1.1.0")
    for path in (jar, pom):
        refused(it, path, "is false")
    asked = it.asked("1.1.0")
    refused(it, jar, "is false")
    assert it.asked("1.1.0") == asked
    wait_until(lambda: it.shown() == ["1.0.0", "1.2.0", "2.0.0"], seconds=60, what="the page without it")
    told = why(it, "1.1.0")
    assert (told["allowed"], told["rule"], told["provenance"]["status"]) == (False, "trust", "failed")


def test_key_that_is_not_named__is_wrong_however_right_its_signature_is(
    it: Signed, signer: Signer, only_by: NewRule
) -> None:
    only_by(signer)
    it.sign("1.0.0", Signer("them"))
    refused(it, it.file("1.0.0"), "is false, or of another key")


def test_missing_one__is_a_downgrade_where_a_version_before_had_one(
    it: Signed, signer: Signer, only_by: NewRule
) -> None:
    only_by(signer)
    it.sign("1.1.0", signer)
    assert it.get(it.file("1.0.0")).status_code == 200, "nothing before it was signed"
    assert it.get(it.file("1.1.0")).status_code == 200
    for version in ("1.2.0", "2.0.0"):
        refused(it, it.file(version), "it has no signature, unlike 1.1.0")
    assert it.get(it.file("1.0.0")).status_code == 200


def test_missing_one__is_held_where_the_rule_says_so(it: Signed, signer: Signer, only_by: NewRule) -> None:
    only_by(signer, 'unverified = "hold"')
    refused(it, it.file("1.0.0"), "it has no signature")


def test_rule_whose_key_is_nowhere__holds_until_an_operator_mends_it(
    it: Signed, signer: Signer, only_by: NewRule
) -> None:
    stranger = Signer("them")
    only_by(stranger)
    it.sign("1.0.0", stranger)
    refused(it, it.file("1.0.0"), "ORCHARD_SIGNING_KEYS")
    it.sign("1.0.0", signer)
    only_by(signer)
    assert it.get(it.file("1.0.0")).status_code == 200


def test_huge_signature__is_false(it: Signed, signer: Signer, only_by: NewRule) -> None:
    only_by(signer)
    it.upstream.put(f"{it.file('1.0.0')}.asc", b"-" * 1024 * 1024, "application/pgp-signature")
    refused(it, it.file("1.0.0"), "more than 65536 bytes")


def test_signature_that_cannot_be_had_now__is_no_reason_to_refuse_for_good(
    it: Signed, signer: Signer, only_by: NewRule
) -> None:
    only_by(signer)
    it.sign("1.0.0", signer)
    path = f"{it.file('1.0.0')}.asc"
    it.upstream.fault(path, Fault(status=500))
    try:
        assert it.get(it.file("1.0.0")).status_code in (502, 503)
    finally:
        it.upstream.heal(path)
    wait_until(lambda: it.get(it.file("1.0.0")).status_code == 200, seconds=90, what="the signature")


def test_exemption__lets_it_in__and_its_end_refuses_what_was_stored(
    it: Signed, signer: Signer, only_by: NewRule
) -> None:
    only_by(signer)
    it.sign("1.0.0", signer, of=b"something else")
    address = it.orchard.url("/api/v1/admin/exemptions")
    exempt = {"of": f"{purl_of(it)}@1.0.0", "reason": "looked at"}
    made = httpx.post(address, json=exempt, headers=ADMIN, trust_env=False)
    assert made.status_code in (200, 201), made.text
    jar = it.file("1.0.0")
    wait_until(lambda: it.get(jar).content == it.data["1.0.0"], seconds=60, what="the exemption")
    gone = httpx.delete(f"{address}/{made.json()['id']}", headers=ADMIN, trust_env=False)
    assert gone.status_code in (200, 204), gone.text
    wait_until(lambda: it.get(jar).status_code == 403, seconds=60, what="the exemption's end")
    refused(it, jar, "is false")


def test_what_was_stored_before_the_rule__stays_and_costs_no_request(
    it: Signed, signer: Signer, only_by: NewRule
) -> None:
    jar = it.file("1.0.0")
    assert it.get(jar).status_code == 200
    only_by(signer)
    asked = it.asked("1.0.0")
    for _ in range(3):
        assert it.get(jar).content == it.data["1.0.0"]
    assert (it.asked("1.0.0"), it.signatures_asked()) == (asked, 0)


def test_what_came_in_unlooked_at__is_verified_when_it_is_asked_for(
    it: Signed, signer: Signer, only_by: NewRule
) -> None:
    it.sign("1.0.0", signer)
    it.sign("1.1.0", signer, of=b"something else")
    for version in ("1.0.0", "1.1.0"):
        assert it.get(it.file(version)).status_code == 200
    only_by(signer, 'began = "2020-01-01"')
    for _ in range(3):
        assert it.get(it.file("1.0.0")).content == it.data["1.0.0"]
        refused(it, it.file("1.1.0"), "is false")
    assert it.signatures_asked() == 2


def test_what_came_in_unlooked_at_and_was_lost__is_verified_before_a_byte_goes_out(
    it: Signed, signer: Signer, only_by: NewRule
) -> None:
    it.sign("1.0.0", signer)
    it.sign("1.1.0", signer, of=b"something else")
    for version in ("1.0.0", "1.1.0"):
        assert it.get(it.file(version)).status_code == 200
        sha256 = hashlib.sha256(it.data[version]).hexdigest()
        (it.orchard.folder / "data" / "objects" / "artifacts" / sha256[:2] / sha256).unlink()
    only_by(signer, 'began = "2020-01-01"')
    assert it.get(it.file("1.1.0"), range="bytes=0-9").status_code == 403
    refused(it, it.file("1.1.0"), "is false")
    assert it.get(it.file("1.0.0"), range="bytes=0-9").content == it.data["1.0.0"][:10]
    assert it.get(it.file("1.0.0")).content == it.data["1.0.0"]
    assert it.signatures_asked() == 2


def test_right_file_in_the_place_of_a_false_one__is_shown_again(
    it: Signed, signer: Signer, only_by: NewRule
) -> None:
    only_by(signer)
    it.sign("1.1.0", signer, of=b"something else")
    jar = it.file("1.1.0")
    refused(it, jar, "is false")
    wait_until(lambda: "1.1.0" not in it.shown(), seconds=60, what="the page without it")
    it.sign("1.1.0", signer)
    exempt = httpx.post(
        it.orchard.url("/api/v1/admin/exemptions"),
        json={"of": f"{purl_of(it)}@1.1.0", "reason": "mended"},
        headers=ADMIN,
        trust_env=False,
    )
    wait_until(lambda: it.get(jar).status_code == 200, seconds=60, what="the exemption")
    address = it.orchard.url(f"/api/v1/admin/exemptions/{exempt.json()['id']}")
    assert httpx.delete(address, headers=ADMIN, trust_env=False).status_code in (200, 204)
    wait_until(lambda: why(it, "1.1.0")["rule"] == "", seconds=60, what="the exemption's end")
    assert it.get(jar).content == it.data["1.1.0"]
    wait_until(lambda: "1.1.0" in it.shown(), seconds=60, what="the page with it")
