"""Attestations are verified against a trust root, or are no proof: whatever strangers wrote."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from services.fetcher.provenance import verify as verifying
from services.fetcher.provenance.verify import Item, Order, embedded_root, verify
from shared.policy.evidence import Attested, Evidence, Publisher
from tests.support.sigstore import SIGNED_AT, Attestation, Sigstore, new_key

WHEEL, SHA256 = "demo-1.0-py3-none-any.whl", "ab" * 32
PURL, SHA512 = "pkg:npm/@scope/demo@1.0.0", "cd" * 64
INDEX = Attested(WHEEL, "sha256")
BUNDLES = Attested(PURL, "sha512")


@pytest.fixture(scope="module")
def sigstore() -> Sigstore:
    return Sigstore()


@pytest.fixture(scope="module")
def root(sigstore: Sigstore, tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(sigstore.write_root(tmp_path_factory.mktemp("root") / "trusted_root.json"))


def of(sigstore: Sigstore, **options: Any) -> Attestation:
    return sigstore.attest(WHEEL, {"sha256": SHA256}, "us/lib", **options)


def came(root: str, document: object, attested: Attested = INDEX) -> Evidence:
    raw = document if isinstance(document, bytes) else json.dumps(document).encode()
    of = ("pypi", attested, SHA256) if attested is INDEX else ("npm", attested, SHA512)
    (found,) = verify(Order(root, (Item(*of, raw),)))
    return found


def test_attestation_of_an_index__verified(sigstore: Sigstore, root: str) -> None:
    assert came(root, of(sigstore).pep740()) == Evidence(
        "verified", Publisher("GitHub", "us/lib", "release.yml")
    )


def test_bundles__verified__those_of_the_registry_itself_prove_nothing(sigstore: Sigstore, root: str) -> None:
    quoted = PURL.replace("@scope", "%40scope")
    document = sigstore.attest(quoted, {"sha512": SHA512}, "us/lib").bundles()
    publish = {"predicateType": "https://registry.example/publish", "bundle": {"mediaType": "none"}}
    document["attestations"].insert(0, publish)
    assert came(root, document, BUNDLES) == Evidence("verified", Publisher("GitHub", "us/lib", "release.yml"))
    document["attestations"].pop()
    assert came(root, document, BUNDLES).status == "failed"


def test_file_name__in_another_spelling__is_the_same(sigstore: Sigstore, root: str) -> None:
    other = sigstore.attest("Demo-1.0.0-py3-none-any.whl", {"sha256": SHA256}, "us/lib")
    assert came(root, other.pep740()).status == "verified"


# --- what is no proof -----------------------------------------------------------------------------------


def changed(document: Any, path: str, value: Any) -> Any:
    """With another value at "a.0.b"."""
    *outer, last = [int(each) if each.isdigit() else each for each in path.split(".")]
    place = document
    for each in outer:
        place = place[each]
    place[last] = value
    return document


def base64_of(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


ONE = "attestation_bundles.0.attestations.0."
ENTRY = f"{ONE}verification_material.transparency_entries.0."

LIES: dict[str, Callable[[Sigstore], Any]] = {
    "no JSON": lambda it: b"<html>log in</html>",
    "nothing": lambda it: b"",
    "another document": lambda it: {"version": 1},
    "no attestations": lambda it: {"version": 1, "attestation_bundles": []},
    "a publisher without any": lambda it: changed(of(it).pep740(), "attestation_bundles.0.attestations", []),
    "a strange publisher": lambda it: of(it).pep740(kind="Nobody"),
    "deep": lambda it: b'{"version":1,"attestation_bundles":' + b"[" * 100_000,
    "wide": lambda it: {
        "version": 1,
        "attestation_bundles": of(it).pep740()["attestation_bundles"] * 17,
    },
    "another file's digest": lambda it: it.attest(WHEEL, {"sha256": "00" * 32}, "us/lib").pep740(),
    "a digest of another kind": lambda it: it.attest(WHEEL, {"sha512": SHA256}, "us/lib").pep740(),
    "another file's name": lambda it: it.attest(
        "other-1.0-py3-none-any.whl", {"sha256": SHA256}, "us/lib"
    ).pep740(),
    "another version's name": lambda it: it.attest(
        "demo-1.1-py3-none-any.whl", {"sha256": SHA256}, "us/lib"
    ).pep740(),
    "a name of no file": lambda it: it.attest("\n", {"sha256": SHA256}, "us/lib").pep740(),
    "several files": lambda it: of(
        it, statement={"subject": [{"name": WHEEL, "digest": {"sha256": SHA256}}] * 2}
    ).pep740(),
    "another kind of statement": lambda it: of(it, statement={"_type": "https://example.org/v1"}).pep740(),
    "the index says another repository": lambda it: of(it).pep740(repository="them/lib"),
    "the index says another workflow": lambda it: of(it).pep740(workflow="other.yml"),
    "the index says another forge": lambda it: of(it).pep740(kind="GitLab", workflow_filepath="ci.yml"),
    "a certificate of another issuer": lambda it: of(it, issuer="https://issuer.example").pep740(),
    "another authority": lambda it: of(Sigstore(certificate_log=it.certificate_log, rekor=it.rekor)).pep740(),
    "another log of certificates": lambda it: of(
        Sigstore(authority=it.authority, rekor=it.rekor, certificate_log=new_key())
    ).pep740(),
    "another log": lambda it: of(
        Sigstore(authority=it.authority, certificate_log=it.certificate_log, rekor=new_key())
    ).pep740(),
    "a certificate that was over": lambda it: of(it, at=SIGNED_AT - timedelta(days=1)).pep740(),
    "another signature": lambda it: changed(of(it).pep740(), f"{ONE}envelope.signature", base64_of("none")),
    "another statement": lambda it: changed(of(it).pep740(), f"{ONE}envelope.statement", base64_of("{}")),
    "another one's certificate": lambda it: changed(
        of(it).pep740(),
        f"{ONE}verification_material.certificate",
        of(it).pep740()["attestation_bundles"][0]["attestations"][0]["verification_material"]["certificate"],
    ),
    "another one's log entry": lambda it: changed(
        of(it).pep740(), f"{ONE}verification_material.transparency_entries.0", of(it).entry
    ),
    "no log entry": lambda it: changed(
        of(it).pep740(), f"{ONE}verification_material.transparency_entries", []
    ),
    "no promise": lambda it: changed(of(it).pep740(), f"{ENTRY}inclusionPromise", None),
    "a time of its own": lambda it: changed(
        of(it).pep740(), f"{ENTRY}integratedTime", str(int(SIGNED_AT.timestamp()) + 60)
    ),
    "a proof of another tree": lambda it: changed(of(it).pep740(), f"{ENTRY}inclusionProof.treeSize", "7"),
    "a certificate that is none": lambda it: changed(
        of(it).pep740(), f"{ONE}verification_material.certificate", base64_of("none")
    ),
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
def test_lie__is_no_proof(sigstore: Sigstore, root: str, lie: str) -> None:
    found = came(root, LIES[lie](sigstore))
    assert found.status == "failed"
    assert found.why.isprintable()
    assert 0 < len(found.why) <= 500
    assert found.publisher == Publisher()


BUNDLE_LIES: dict[str, Callable[[Sigstore], Any]] = {
    "no JSON": lambda it: b"\xff",
    "a list": lambda it: [],
    "another package": lambda it: it.attest("pkg:npm/demo@1.0.0", {"sha512": SHA512}, "us/lib").bundles(),
    "another digest": lambda it: it.attest(PURL, {"sha512": "00" * 64}, "us/lib").bundles(),
    "another digest beside": lambda it: it.attest(PURL, {"sha256": SHA512}, "us/lib").bundles(),
    "a person's certificate": lambda it: it.attest(
        PURL, {"sha512": SHA512}, "us/lib", issuer="https://accounts.example"
    ).bundles(),
    "another authority": lambda it: Sigstore().attest(PURL, {"sha512": SHA512}, "us/lib").bundles(),
    "no bundle": lambda it: changed(
        it.attest(PURL, {"sha512": SHA512}, "us/lib").bundles(), "attestations.0.bundle", {}
    ),
    "two publishers": lambda it: {
        "attestations": [
            *it.attest(PURL, {"sha512": SHA512}, "us/lib").bundles()["attestations"],
            *it.attest(PURL, {"sha512": SHA512}, "them/lib").bundles()["attestations"],
        ]
    },
}


@pytest.mark.parametrize("lie", BUNDLE_LIES)
def test_lie_in_bundles__is_no_proof(sigstore: Sigstore, root: str, lie: str) -> None:
    assert came(root, BUNDLE_LIES[lie](sigstore), BUNDLES).status == "failed"


def test_log_entry_of_a_kind_that_the_library_does_not_verify__nobody_can_say(
    sigstore: Sigstore, root: str
) -> None:
    document = sigstore.attest(PURL, {"sha512": SHA512}, "us/lib").bundles()
    kind = "attestations.0.bundle.verificationMaterial.tlogEntries.0.kindVersion.kind"
    found = came(root, changed(document, kind, "intoto"), BUNDLES)
    assert (found.status, "intoto" in found.why) == ("unknown", True)


def test_root_that_comes_with_the_library__trusts_nobody_else(sigstore: Sigstore) -> None:
    assert Path(embedded_root()).is_file()
    assert came("", of(sigstore).pep740()).status == "failed"


def child(order: Order) -> bytes:
    done = subprocess.run(
        [sys.executable, "-m", verifying.__name__],
        input=msgspec.msgpack.encode(order),
        capture_output=True,
        check=False,
    )
    return done.stdout


def test_child__answers_in_the_items_order(sigstore: Sigstore, root: str) -> None:
    items = tuple(
        Item("pypi", INDEX, SHA256, json.dumps(each).encode())
        for each in (of(sigstore).pep740(), {}, of(sigstore).pep740())
    )
    found = msgspec.msgpack.decode(child(Order(root, items)), type=list[Evidence])
    assert [each.status for each in found] == ["verified", "failed", "verified"]


@pytest.mark.parametrize("broken", ["no root", "empty root", "no keys", "keys that are none", "keys of RSA"])
def test_what_it_verifies_against_cannot_be_read__nothing_is_known(
    sigstore: Sigstore, root: str, tmp_path: Path, broken: str
) -> None:
    """Of none, instead of a death that would be the items' fault."""
    file = tmp_path / "file.json"
    rsa = generate_private_key(65537, 2048).public_key()
    der = base64.b64encode(rsa.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()
    texts = {
        "empty root": "{}",
        "keys that are none": "none",
        "keys of RSA": json.dumps({"keys": [{"keyid": "a", "key": der}]}),
    }
    if broken in texts:
        file.write_text(texts[broken])
    item = Item("pypi", INDEX, SHA256, json.dumps(of(sigstore).pep740()).encode(), signatures=(("a", "b"),))
    order = Order(str(file), (item,)) if broken.endswith("root") else Order(root, (item,), (str(file),))
    assert msgspec.msgpack.decode(child(order), type=list[Evidence]) == []
