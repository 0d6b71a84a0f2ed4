"""A stored file's model: out of the cache if this version reads it, else read again in the sandbox."""

from __future__ import annotations

import hashlib

import msgspec
import pytest

from services.extractor.extraction.sandbox.parent import Sandbox
from services.extractor.resolving.prepared_documents import PreparedDocuments, extraction_with_model
from services.extractor.resolving.stored import StoredMetadata
from shared.cache.keys import Category
from shared.models import Extraction
from shared.objects.port import artifact_key
from shared.policy.age import Arrival, Seen
from shared.policy.policy import Policy
from shared.policy.rules import AgeRule, Rules
from shared.protocols.base import PackageProxyBase
from shared.protocols.cargo import CargoProxy
from shared.protocols.maven import MavenProxy
from shared.protocols.maven.model import decode_pom
from shared.protocols.npm import NpmProxy
from shared.protocols.resolution import Absent, Document
from shared.redis import clock
from tests.services.extractor.conftest import House
from tests.support.maven_builders import Dep, build_pom
from tests.support.npm_builders import build_tarball

MAVEN, NPM = MavenProxy(), NpmProxy()


async def test_model__kept_one_used__lost_or_unreadable_one_read_again(house: House) -> None:
    body = build_pom("g", "a", "1", [Dep("g", "b", "2")])
    job = await house.keep("a-1.pom", body, project="g:a", file_id="1")
    sandbox = await house.resources.open("sandbox", Sandbox(house.store, children=1))

    async def read() -> Extraction:
        return await extraction_with_model(
            MAVEN,
            "a-1.pom",
            cache=house.cache,
            sandbox=sandbox,
            sha256=job.sha256,
            object_key=artifact_key(job.sha256),
            size_bytes=len(body),
        )

    async def keep(model: bytes) -> None:
        kept = msgspec.structs.replace(fresh, model=model, name="kept")
        await house.cache.set(
            Category.ARTIFACT_DEPENDENCIES, "maven", job.sha256, msgspec.msgpack.encode(kept)
        )

    fresh = await read()  # the cache holds nothing yet
    pom = decode_pom(fresh.model)
    assert pom is not None and [each.artifact for each in pom.own.dependencies] == ["b"]
    await keep(fresh.model)
    assert (await read()).name == "kept"
    for unreadable in (b"", b"of another version"):
        await keep(unreadable)
        assert await read() == fresh


@pytest.mark.parametrize("kind", ["model", "inner"])
async def test_file_that_could_not_be_read__is_read_again_when_asked_for_again(
    house: House, kind: str
) -> None:
    sandbox = await house.resources.open("sandbox", Sandbox(house.store, children=1))
    prepared = PreparedDocuments(cache=house.cache, store=house.store, threads=house.threads, sandbox=sandbox)
    protocol: PackageProxyBase = MAVEN if kind == "model" else NPM
    project, name = ("g:a", "a-1.pom") if kind == "model" else ("a", "a-1.0.0.tgz")
    whole = build_pom("g", "a", "1", []) if kind == "model" else build_tarball("a", "1.0.0")
    kept = []
    for body in (b"damaged", whole):
        key = artifact_key(hashlib.sha256(body).hexdigest())
        await house.store.put_bytes(key, body)
        row = StoredMetadata(sha256="0" * 64, file_key=key, size_bytes=len(body))
        document = Document("metadata" if kind == "model" else "inner", project, "1", name)
        kept.append(await getattr(prepared, kind)(protocol, document, row))
        await house.cache.delete(Category.ARTIFACT_DEPENDENCIES, protocol.name, row.sha256)
    damaged, found = kept
    assert isinstance(damaged, Absent)
    assert not isinstance(found, Absent)


async def test_page_under_a_rule__what_was_seen_is_another__made_anew(house: House) -> None:
    line = {"name": "demo", "vers": "1.0.0", "deps": [], "cksum": "0" * 64, "features": {}, "yanked": False}
    body = msgspec.json.encode({**line, "pubtime": "2020-01-01T00:00:00Z"})
    key = artifact_key(hashlib.sha256(body).hexdigest())
    await house.store.put_bytes(key, body)
    sandbox = await house.resources.open("sandbox", Sandbox(house.store, children=1))
    prepared = PreparedDocuments(cache=house.cache, store=house.store, threads=house.threads, sandbox=sandbox)
    verdicts = Policy((), Rules({"": AgeRule(7 * 86_400.0)})).of("cargo", "demo")
    now = clock.now()
    made = [
        await prepared.page_without(CargoProxy(), "index/demo", key, verdicts, {}, seen)
        for seen in (
            Seen(1.0, {"1.0.0": Arrival(1.0, 1.0)}),
            Seen(1.0, {"1.0.0": Arrival(now, now)}),
            Seen(1.0, {"1.0.0": Arrival(now, now)}, ageless=True),
        )
    ]
    assert [len(page.file.lines) for page in made] == [1, 0, 1]
