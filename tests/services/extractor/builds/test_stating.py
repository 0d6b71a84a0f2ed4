"""Statements of sealed builds over real stores: what they got, what that is made of, signed and to be read by
others."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import msgspec
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from services.extractor.builds.stating import BuildStating
from shared.builds.entries import FORMAT, BuildList, File, Page, Session, encode
from shared.errors.passing import StoreUnavailable
from shared.models import FileName, StoredDocument, UpstreamSource, VariantInfo
from shared.objects.port import BUILDS, artifact_key, document_key, statement_key
from shared.policy.named import NamedRule
from shared.protocols import protocol_named
from shared.redis import clock
from shared.transparency.statements import StatementRows
from tests.services.extractor.conftest import House
from tests.services.extractor.transparency.logs import SIGNER
from tests.support.rows import row_of
from tests.support.statement_schemas import checked

ID = "a" * 32
WHEEL = "demo-1.0-py3-none-any.whl"
CREATED, SEALED = 1_764_410_000.0, 1_764_410_100.0
METADATA = b"""\
Metadata-Version: 2.4
Name: demo
Version: 1.0
Author-email: Ada Example <ada@example.com>

A description.
Author: not this one
"""


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


async def read(house: House, *files: File, licence: str | None = None) -> None:
    """As if an extractor had read them."""
    for each in files:
        assert each.stored is not None
        await house.database.execute(
            "UPDATE artifacts SET extraction_state = 'extracted', licence = $2 WHERE sha256 = $1",
            bytes.fromhex(each.stored.sha256),
            licence,
        )


async def stored(house: House, file: FileName, content: bytes, **changes: Any) -> File:
    """A file of a list, with its row and object."""
    await house.store.put_bytes(artifact_key(sha256(content)), content)
    facts = await house.artifacts.get_or_create_artifact(row_of(file, content, **changes))
    return File(file.protocol, file.identity, file, facts, CREATED, "ci")


async def wheel(
    house: House,
    name: str = "demo-1.0-py3-none-any.whl",
    metadata: bytes = METADATA,
    licence: str | None = "MIT OR apache-2.0",
) -> list[File]:
    """A wheel that was read, and its core metadata."""
    id = sha256(name.encode())
    file = FileName("pypi", "demo", id, name)
    url = f"https://files.example/{name}"
    found = [
        await stored(house, file, name.encode(), upstream_url=url),
        await stored(
            house,
            FileName("pypi", "demo", id, f"{name}.metadata"),
            metadata,
            upstream_url=f"{url}.metadata",
            role="metadata",
        ),
    ]
    await read(house, found[0], licence=licence)
    return found


async def sealed(house: House, files: list[File], id: str = ID, at: float = SEALED, **fields: Any) -> Session:
    """A sealed build that got these, and a page."""
    page = b'{"files":[]}'
    info = VariantInfo('"e"', len(page), "application/json", f"{BUILDS}/{sha256(page)}")
    pages = [Page("pypi", "simple/demo", "json.gzip", info, at=CREATED)]
    body = encode(BuildList(FORMAT, id, "app", "", pages, files, []))
    key = f"{BUILDS}/{sha256(body)}"
    await house.store.put_bytes(key, body)
    session = Session(id, "app", state="sealed", created_at=CREATED, sealed_at=at, list_key=key, **fields)
    await house.database.execute(
        "INSERT INTO builds (id, session) VALUES ($1, $2)", id, msgspec.msgpack.encode(session)
    )
    return session


async def told(house: House, kind: str, id: str = ID) -> dict[str, Any]:
    """The statement of this kind, verified."""
    key = await StatementRows(house.database).of_build(id, kind)
    assert key, "there is none"
    return checked(await house.store.read(statement_key(key)), SIGNER.key)


async def test_provenance__all_that_the_build_got_with_digests(house: House) -> None:
    files = await wheel(house)
    session = await sealed(house, files)
    await BuildStating(house.stores, SIGNER).run()
    found = await told(house, "provenance")
    assert found["subject"] == [
        {"name": f"build-{ID}", "digest": {"sha256": session.list_key.rpartition("/")[2]}}
    ]
    definition = found["predicate"]["buildDefinition"]
    assert definition["externalParameters"] == {"name": "app", "at": ""}
    inputs = definition["resolvedDependencies"]
    assert inputs[0] == {
        "name": "demo-1.0-py3-none-any.whl",
        "uri": "pkg:pypi/demo@1.0",
        "digest": {"sha256": files[0].stored.sha256 if files[0].stored else ""},
        "downloadLocation": "https://files.example/demo-1.0-py3-none-any.whl",
        "annotations": {"orchard_kind": "file"},
    }
    assert [each["name"] for each in inputs] == [*(each.file.filename for each in files), "simple/demo"]
    assert inputs[2]["digest"] == {"sha256": sha256(b'{"files":[]}')}
    run = found["predicate"]["runDetails"]
    assert run["builder"]["id"] == f"urn:orchard:{SIGNER.key.name}"
    assert run["metadata"] == {
        "invocationId": ID,
        "startedOn": "2025-11-29T09:53:20Z",
        "finishedOn": "2025-11-29T09:55:00Z",
    }


async def test_provenance__tells_the_builds_own_policy_and_what_never_came(house: House) -> None:
    rule = NamedRule(name="two weeks", minimum_age="14d")
    await sealed(house, await wheel(house), rules=(rule,), missing=("demo/x/y",))
    await BuildStating(house.stores, SIGNER).run()
    definition = (await told(house, "provenance"))["predicate"]["buildDefinition"]
    (policy,) = definition["externalParameters"]["policy"]
    assert (policy["name"], policy["minimum_age"]) == ("two weeks", "14d")
    assert definition["internalParameters"] == {"missing": ["demo/x/y"]}


async def test_cyclonedx__valid_with_hashes_licence_supplier_and_location(house: House) -> None:
    files = await wheel(house)
    await sealed(house, files)
    await BuildStating(house.stores, SIGNER).run()
    bom = (await told(house, "cyclonedx"))["predicate"]
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(bom)) is None
    (component,) = bom["components"]  # what only tells of the wheel is no component
    assert component["purl"] == "pkg:pypi/demo@1.0?file_name=demo-1.0-py3-none-any.whl"
    assert component["hashes"] == [{"alg": "SHA-256", "content": sha256(b"demo-1.0-py3-none-any.whl")}]
    assert component["licenses"] == [{"expression": "MIT OR Apache-2.0"}]
    assert component["supplier"] == {"name": "Ada Example"}
    assert component["externalReferences"] == [
        {"type": "distribution", "url": "https://files.example/demo-1.0-py3-none-any.whl"}
    ]
    assert bom["metadata"]["timestamp"] == "2025-11-29T09:55:00Z"
    assert bom["dependencies"] == [{"ref": f"urn:orchard:build:{ID}", "dependsOn": [component["bom-ref"]]}]


async def test_spdx__the_same_packages_and_what_nobody_tells_is_said_not_to_be_known(house: House) -> None:
    plain = await wheel(house, "demo-2.0-py3-none-any.whl", b"Metadata-Version: 2.1\nName: demo\n", None)
    await sealed(house, [*await wheel(house), *plain])
    await BuildStating(house.stores, SIGNER).run()
    document = (await told(house, "spdx"))["predicate"]
    assert (document["spdxVersion"], document["dataLicense"]) == ("SPDX-2.3", "CC0-1.0")
    assert document["creationInfo"]["created"] == "2025-11-29T09:55:00Z"
    about, first, second = document["packages"]
    assert about["SPDXID"] == "SPDXRef-build"
    licences = [each["licenseDeclared"] for each in (first, second)]
    assert licences == ["MIT OR Apache-2.0", "NOASSERTION"]
    assert [each["supplier"] for each in (first, second)] == ["Person: Ada Example", "NOASSERTION"]
    assert first["downloadLocation"] == "https://files.example/demo-1.0-py3-none-any.whl"
    assert first["checksums"][0]["algorithm"] == "SHA256"
    known = {each["SPDXID"] for each in document["packages"]} | {"SPDXRef-DOCUMENT"}
    for each in document["relationships"]:
        assert {each["spdxElementId"], each["relatedSpdxElement"]} <= known


async def test_a_licence_that_is_no_expression__is_told_as_it_is_written(house: House) -> None:
    files = await wheel(house, metadata=b"Name: demo\nAuthor: UNKNOWN\n", licence="see the file")
    await sealed(house, files)
    await BuildStating(house.stores, SIGNER).run()
    bom = (await told(house, "cyclonedx"))["predicate"]
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(bom)) is None
    assert bom["components"][0]["licenses"] == [{"license": {"name": "see the file"}}]
    assert "supplier" not in bom["components"][0]
    assert (await told(house, "spdx"))["predicate"]["packages"][1]["licenseDeclared"] == "NOASSERTION"


async def test_a_list_that_tells_licences__is_asked_by_version(house: House) -> None:
    packument = {
        "name": "demo",
        "dist-tags": {"latest": "1.0.0"},
        "versions": {
            "1.0.0": {
                "name": "demo",
                "version": "1.0.0",
                "license": "ISC",
                "maintainers": [{"name": "ada"}, {"name": "bob"}],
                "dist": {"tarball": "https://one.example/demo/-/demo-1.0.0.tgz"},
            }
        },
    }
    npm = protocol_named("npm")
    identity = npm.grammar.index_identity("demo")
    source = UpstreamSource(1, "npm", "main", "https://one.example/")
    kind, url = "application/json", "https://one.example/demo"
    told_by = json.dumps(packument).encode()
    body = npm.documents.read_index(identity, source, url=url, content_type=kind, body=told_by).body
    await house.store.put_bytes(document_key(sha256(body)), body)
    await house.artifacts.store_document(
        StoredDocument("npm", identity, 1, 1, document_key(sha256(body)), CREATED), project="demo"
    )
    file = FileName("npm", "demo", "demo-1.0.0.tgz", "demo-1.0.0.tgz")
    await sealed(house, [await stored(house, file, b"tarball", digests={"sha512": "b" * 128})])
    await BuildStating(house.stores, SIGNER).run()
    (component,) = (await told(house, "cyclonedx"))["predicate"]["components"]
    assert component["licenses"] == [{"expression": "ISC"}]
    assert component["supplier"] == {"name": "ada, bob"}
    assert [each["alg"] for each in component["hashes"]] == ["SHA-256", "SHA-512"]


async def test_a_file_that_is_still_to_be_read__is_waited_for_but_not_for_ever(house: House) -> None:
    content = b"still to be read"
    file = await stored(
        house, FileName("pypi", "demo", sha256(content), "demo-3.0-py3-none-any.whl"), content
    )
    await sealed(house, [file], at=clock.now())
    await sealed(house, [file], id="b" * 32)
    stating = BuildStating(house.stores, SIGNER)
    await stating.run()
    rows = StatementRows(house.database)
    assert [bool(await rows.of_build(each, "spdx")) for each in (ID, "b" * 32)] == [False, True]
    await read(house, file, licence="ISC")
    await stating.run()
    (component,) = (await told(house, "cyclonedx"))["predicate"]["components"]
    assert component["licenses"] == [{"expression": "ISC"}]


async def test_what_came_in_a_bundle__has_bills_and_no_provenance_of_this_orchard(house: House) -> None:
    await sealed(house, await wheel(house), imported="elsewhere.example/log+0+x")
    await BuildStating(house.stores, SIGNER).run()
    assert (await told(house, "spdx"))["predicate"]["packages"][1]["versionInfo"] == "1.0"
    assert await StatementRows(house.database).of_build(ID, "provenance") == ""


async def test_a_lock_as_a_view__is_no_build_that_was_recorded(house: House) -> None:
    await sealed(house, await wheel(house), id="0" * 64, lock="1" * 64)
    await BuildStating(house.stores, SIGNER).run()
    assert await StatementRows(house.database).of_build("0" * 64, "spdx") == ""


async def test_stated_once_and_the_same_whoever_does_it(house: House) -> None:
    await sealed(house, await wheel(house))
    await BuildStating(house.stores, SIGNER).run()
    keys = sorted([each.key async for each in house.store.list("statements/")])
    assert len(keys) == 3
    await house.database.execute("DELETE FROM build_statements")
    await BuildStating(house.stores, SIGNER).run()
    assert sorted([each.key async for each in house.store.list("statements/")]) == keys


async def test_a_build_whose_list_is_lost__holds_up_no_other(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = await sealed(house, [])
    await house.store.delete(lost.list_key)
    await sealed(house, await wheel(house), id="b" * 32)
    monkeypatch.setattr("services.extractor.builds.stating.MOST_AT_ONCE", 1)
    stating = BuildStating(house.stores, SIGNER)
    for _ in range(2):
        await stating.run()
    assert (await told(house, "provenance", "b" * 32))["subject"][0]["name"] == f"build-{'b' * 32}"
    assert await StatementRows(house.database).of_build(ID, "provenance") == ""


async def test_a_build_that_cannot_be_stated__holds_up_no_other(house: House) -> None:
    found = await wheel(house, "demo-9.0-py3-none-any.whl")
    await sealed(house, [msgspec.structs.replace(found[0], file=FileName("pypi", "", "", "demo.whl"))])
    await sealed(house, await wheel(house), id="b" * 32, at=1e13)  # no calendar has that year
    await sealed(house, await wheel(house, "demo-2.0-py3-none-any.whl", licence="( or MIT"), id="c" * 32)
    await sealed(house, await wheel(house), id="d" * 32)
    await BuildStating(house.stores, SIGNER).run()
    rows = StatementRows(house.database)
    assert [bool(await rows.of_build(each * 32, "spdx")) for each in "abcd"] == [False, False, True, True]
    licences = (await told(house, "cyclonedx", "c" * 32))["predicate"]["components"][0]["licenses"]
    assert licences == [{"license": {"name": "( or MIT"}}]


async def test_stores_that_are_away__make_no_build_one_that_cannot_be_stated(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sealed(house, await wheel(house))
    stating = BuildStating(house.stores, SIGNER)

    async def away(*_: object) -> None:
        raise StoreUnavailable("away")

    with monkeypatch.context() as patched:
        patched.setattr(house.stores.objects, "put_bytes", away)
        with pytest.raises(StoreUnavailable):
            await stating.run()
    await stating.run()
    assert (await told(house, "spdx"))["predicate"]["spdxVersion"] == "SPDX-2.3"


def test_envelope__another_key_and_a_broken_byte_are_refused() -> None:
    """By a stranger's verifier; tests/shared/tlog/test_dsse.py has ours."""
    payload = json.dumps({"_type": "https://in-toto.io/Statement/v1"}).encode()
    outer = json.loads(SIGNER.envelope(payload))
    broken = base64.b64encode(payload.replace(b"v1", b"v2")).decode()
    with pytest.raises(Exception, match="signature"):
        checked(json.dumps({**outer, "payload": broken}).encode(), SIGNER.key)
