"""The statement of an admission: what it says is what the entry says, and nothing that nobody knows."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from shared.statements.dependency import Evaluated, dependency_statement
from shared.statements.platform import Platform
from shared.tlog.entries import LogEntry, Source
from shared.tlog.signing import Signer
from tests.support.statement_schemas import checked

SIGNER = Signer("orchard.example/log", bytes(32))
PLATFORM = Platform(SIGNER.key, "https://orchard.example")
SHA256, SHA512 = "a" * 64, "b" * 128
ENTRY = LogEntry(
    kind="admission",
    time="2026-11-29T10:11:12.123456Z",
    protocol="npm",
    project="@acme/demo",
    version="1.2.3",
    file="demo-1.2.3.tgz",
    role="file",
    digests={"sha256": SHA256, "sha512": SHA512},
    size=17,
    source=Source("main", "https://one.example/npm/", "https://one.example/npm/@acme/demo/-/demo-1.2.3.tgz"),
    checked={"index": "sha512"},
)


def stated(
    entry: LogEntry = ENTRY, platform: Platform = PLATFORM, evaluated: list[Evaluated] | None = None
) -> dict[str, Any]:
    payload = dependency_statement(entry, platform, evaluated)
    assert payload is not None
    return checked(SIGNER.envelope(payload), SIGNER.key)


@pytest.mark.parametrize(
    ("protocol", "project", "version", "file", "uri"),
    [
        ("pypi", "flask", "3", "flask-3.0.0-py3-none-any.whl", "pkg:pypi/flask@3.0.0"),
        ("pypi", "flask", "3", "flask-3.0.0.tar.gz", "pkg:pypi/flask@3.0.0"),
        ("npm", "@acme/demo", "1.2.3", "demo-1.2.3.tgz", "pkg:npm/%40acme/demo@1.2.3"),
        ("cargo", "libz-sys", "1.1.0", "libz-sys-1.1.0+zlib.crate", "pkg:cargo/libz-sys@1.1.0%2Bzlib"),
        ("maven", "g:a", "1.0", "a-1.0.jar", "pkg:maven/g/a@1.0"),
        ("pypi", "flask", "3", "readme.txt", "pkg:pypi/flask@3"),
    ],
)
def test_version__is_told_as_the_file_spells_it(
    protocol: str, project: str, version: str, file: str, uri: str
) -> None:
    entry = msgspec.structs.replace(ENTRY, protocol=protocol, project=project, version=version, file=file)
    found = stated(entry)
    assert found["subject"][0]["uri"] == uri
    assert uri.endswith("@" + found["predicate"]["upstream"]["version"].replace("+", "%2B"))


def test_all_that_the_entry_says__in_the_words_of_the_predicate() -> None:
    found = stated(evaluated=[Evaluated("abc", 1_764_410_000.0)])
    assert found["subject"] == [
        {
            "name": "demo-1.2.3.tgz",
            "uri": "pkg:npm/%40acme/demo@1.2.3",
            "digest": {"sha256": SHA256, "sha512": SHA512},
        }
    ]
    predicate = found["predicate"]
    for each in (predicate["signingIsolation"], predicate["ingestionIsolation"]):
        del each["description"]
    del predicate["policyEvaluations"][0]["description"]
    assert predicate == {
        "ingestor": {"id": "https://orchard.example"},
        "ingestionPlatform": {"id": "urn:orchard:orchard.example/log", "version": PLATFORM.version},
        "upstream": {
            "registry": "https://one.example/npm/",
            "name": "@acme/demo",
            "version": "1.2.3",
            "digest": {"sha512": SHA512},
        },
        "ingestion": {
            "timestamp": "2026-11-29T10:11:12.123456Z",
            "path": f"https://orchard.example/cas/sha256/{SHA256}",
        },
        "integrity": {"result": "verified", "method": "hash", "expected": {"sha512": SHA512}},
        "publisherSignature": {"result": "unverified"},
        "policyEvaluations": [
            {
                "policy": {"id": "urn:orchard:orchard.example/log:policy", "version": "abc"},
                "timestamp": "2025-11-29T09:53:20Z",
                "result": "allow",
            }
        ],
        "signingIsolation": {
            "method": "post-ingestion-signing",
            "signerIdentity": f"urn:orchard:orchard.example/log+{SIGNER.key.id.hex()}",
        },
        "ingestionIsolation": {"method": "no-dep-code-executed"},
        "orchard_checked": {"index": "sha512"},
        "orchard_protocol": "npm",
        "orchard_size": 17,
        "orchard_url": "https://one.example/npm/@acme/demo/-/demo-1.2.3.tgz",
    }


@pytest.mark.parametrize(
    "checks",
    [{}, {"index": "md5"}, {"bundle": "sha256"}],
    ids=["nothing was told", "a digest of a kind that is not kept", "not by the source"],
)
def test_no_digest_that_can_be_told_was_compared__is_not_said_to_be_verified(checks: dict[str, str]) -> None:
    predicate = stated(msgspec.structs.replace(ENTRY, checked=checks))["predicate"]
    assert predicate["integrity"] == {"result": "unverified"}
    assert "digest" not in predicate["upstream"]


def test_what_was_compared_by_several__each_digest_is_there_once() -> None:
    entry = msgspec.structs.replace(
        ENTRY, checked={"index": "sha512", "address": "sha256", "checksum": "sha256"}
    )
    assert stated(entry)["predicate"]["upstream"]["digest"] == {"sha256": SHA256, "sha512": SHA512}


@pytest.mark.parametrize("source", [None, Source("gone", "", "")])
def test_unknown_source__no_statement(source: Source | None) -> None:
    assert dependency_statement(msgspec.structs.replace(ENTRY, source=source), PLATFORM, None) is None


def test_policy__none_in_force_is_an_empty_list_and_unknown_is_left_out() -> None:
    assert stated(evaluated=[])["predicate"]["policyEvaluations"] == []
    assert "policyEvaluations" not in stated(evaluated=None)["predicate"]


def test_no_public_address__the_platform_ingests_and_paths_are_relative() -> None:
    predicate = stated(platform=Platform(SIGNER.key))["predicate"]
    assert (
        predicate["ingestor"]["id"]
        == predicate["ingestionPlatform"]["id"]
        == "urn:orchard:orchard.example/log"
    )
    assert predicate["ingestion"]["path"] == f"/cas/sha256/{SHA256}"


def test_two_orchards__say_the_same_of_the_same_facts_but_for_who_they_are() -> None:
    other = Platform(Signer("other.example/log", bytes(31) + b"1").key, "https://other.example")
    found = [stated(platform=each, evaluated=[]) for each in (PLATFORM, other)]
    whose = json.dumps(found[1]).replace("https://other.example", "https://orchard.example")
    whose = whose.replace("other.example/log", "orchard.example/log")
    whose = whose.replace(other.key.id.hex(), SIGNER.key.id.hex())
    assert json.loads(whose) == found[0] != found[1]


def test_the_same_facts__the_same_bytes() -> None:
    again = msgspec.structs.replace(ENTRY, digests=dict(reversed(ENTRY.digests.items())))
    assert dependency_statement(again, PLATFORM, []) == dependency_statement(ENTRY, PLATFORM, [])


def test_a_verified_publisher__is_named() -> None:
    payload = dependency_statement(ENTRY, PLATFORM, None, "acme/demo (GitHub, release.yml)")
    assert payload is not None
    found = checked(SIGNER.envelope(payload), SIGNER.key)
    assert found["predicate"]["publisherSignature"] == {
        "result": "verified",
        "method": "sigstore",
        "keyId": "acme/demo (GitHub, release.yml)",
    }


def test_a_signer_apart__is_said_to_be_one() -> None:
    found = stated(platform=msgspec.structs.replace(PLATFORM, signer_apart=True))
    assert found["predicate"]["signingIsolation"]["method"] == "separate-signer-process"
