"""The head of a bundle: made of a sealed build and signed, once the log has all of its files."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from services.extractor.bundles import make as module
from services.extractor.bundles.make import MakeBundleJob
from shared.builds.entries import FORMAT, BuildList, File, Session, encode
from shared.builds.rows import STORE
from shared.bundles.form import read_head
from shared.bundles.manifest import read_manifest
from shared.errors import BuildNotFound, Conflict
from shared.errors.passing import StoreUnavailable
from shared.models import FileName
from shared.objects.port import BUILDS, statement_key
from shared.queue.jobs import MakeBundle
from shared.tlog.dsse import DEPENDENCY, STATEMENT
from shared.tlog.signing import Signer
from shared.transparency.statements import Made, StatementRows
from tests.services.extractor.conftest import House
from tests.services.extractor.transparency.logs import SIGNER, fill, keeper
from tests.support.bundles import sha256

ID = "a" * 32


class Context:
    """The part of a job's context that is used."""

    value = b""

    def done(self, *, value: bytes) -> None:
        self.value = value


@pytest.fixture(autouse=True)
def nobody_states(monkeypatch: pytest.MonkeyPatch) -> None:
    """Statements are not waited for."""
    monkeypatch.setattr(module, "TURN_SECONDS", 0.0)


async def sealed(house: House) -> str:
    """A sealed build of one file; that file's SHA256."""
    job = await house.keep("demo-1.0-py3-none-any.whl", b"a wheel")
    stored = await house.artifacts.get_cached_url_with_artifact(job.file)
    file = FileName("pypi", "demo", job.file_id, job.filename)
    body = encode(
        BuildList(FORMAT, ID, "app", "", [], [File("pypi", file.identity, file, stored, 1.0, "ci")], [])
    )
    key = f"{BUILDS}/{sha256(body)}"
    await house.store.put_bytes(key, body)
    session = Session(ID, "app", "", "sealed", 1.0, "ci", 2.0, key, 0, 1)
    await house.database.execute(STORE, ID, encode(session), [key])
    return job.sha256


async def make(house: House, signer: Signer | None = SIGNER, since: int = 0) -> Any:
    context = Context()
    await MakeBundleJob(house.stores, signer)(context, MakeBundle(ID, since))  # type: ignore[arg-type]
    head = read_head(io.BytesIO(await house.store.read(context.value.decode())).read)
    assert head.key == SIGNER.key
    return read_manifest(head)[0]


async def test_head__signed_with_a_proof_of_each_file_and_without_names(house: House) -> None:
    digest = await sealed(house)
    writer = keeper(house.stores)
    await writer.run()
    manifest = await make(house)
    assert [each.sha256 for each in manifest.log.files] == [digest]
    assert (manifest.session.created_by, manifest.listed.files[0].who) == ("", "")
    await fill(house.stores, 0, 5)
    await writer.run()
    later = await make(house, since=1)
    assert (later.log.size, later.log.since) == (6, 1) and later.log.consistency != []


async def test_log_that_lacks_a_file__waited_for_and_then_a_passing_error(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TURNS", 2)
    await sealed(house)
    with pytest.raises(StoreUnavailable):
        await make(house)
    await keeper(house.stores).run()
    assert (await make(house)).log.size == 1


async def test_what_cannot_be_bundled__says_why(house: House) -> None:
    with pytest.raises(BuildNotFound):
        await make(house)
    await sealed(house)
    await keeper(house.stores).run()
    with pytest.raises(Conflict, match="nobody signs"):
        await make(house, None)
    with pytest.raises(Conflict, match="has seen 9"):
        await make(house, since=9)


async def test_statements_of_its_files__by_the_key_that_signs_it_and_of_its_versions_alone(
    house: House,
) -> None:
    digest = await sealed(house)
    await keeper(house.stores).run()
    other = Signer("logs.example/before", b"2" * 32)
    whole = {"_type": STATEMENT, "predicateType": DEPENDENCY, "predicate": {}}
    kept = []
    for leaf, (signer, version) in enumerate([(SIGNER, "1"), (SIGNER, "9"), (other, "1"), (SIGNER, "1")]):
        payload = {**whole, "subject": [{"name": str(leaf), "digest": {"sha256": digest}}]}
        kept.append(signer.envelope(json.dumps(payload).encode()))
        await house.store.put_bytes(statement_key(sha256(kept[-1])), kept[-1])
        row = Made(bytes.fromhex(digest), leaf, "pypi", "demo", version, bytes.fromhex(sha256(kept[-1])))
        assert await StatementRows(house.database).state(0, 0, [row])
    assert (await make(house)).statements == [kept[3]]
    await house.store.delete(statement_key(sha256(kept[3])))
    assert (await make(house)).statements == []
