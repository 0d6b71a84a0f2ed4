"""Statements of admissions over real stores: one for each, whatever is cut off, true to what is stored."""

from __future__ import annotations

import asyncio
import hashlib
import time
from typing import Any

import pytest

from services.extractor.resolving.compose import access_watcher
from services.extractor.transparency.stating import AdmissionStating
from shared.errors.passing import StoreUnavailable
from shared.models import FileName
from shared.objects.port import statement_key
from shared.policy.policy import Policy
from shared.policy.rules import Block, Rules
from shared.transparency.statements import StatementRows
from tests.services.extractor.conftest import House
from tests.services.extractor.transparency.logs import SIGNER, fill, keeper
from tests.support.rows import row_of
from tests.support.statement_schemas import checked


class Asked:
    """In the place of the watcher: the policy of a test."""

    def __init__(self, *blocks: Block, **rules: Any) -> None:
        self.state = object()
        self.policy = Policy(blocks, Rules(**rules))


async def admit(house: House, name: str, content: bytes, **changes: Any) -> str:
    """A wheel of `demo` that came from a source; its SHA256."""
    await house.database.execute(
        "INSERT INTO upstream_sources (id, protocol, name, url) OVERRIDING SYSTEM VALUE "
        "VALUES (77, 'pypi', 'main', 'https://one.example/simple/') ON CONFLICT DO NOTHING"
    )
    sha256 = hashlib.sha256(content).hexdigest()
    file = FileName("pypi", "demo", sha256, name)
    told = {"source_id": 77, "upstream_url": f"https://files.example/{name}", "checked": {"index": "sha256"}}
    await house.artifacts.get_or_create_artifact(row_of(file, content, **{**told, **changes}))
    return sha256


async def logged(house: House) -> None:
    """All that was admitted has its number."""
    await keeper(house.stores).run()
    await house.queue_redis.command("DEL", "orchard:tlog:writer")


def stating(house: House, asked: Any = None) -> AdmissionStating:
    return AdmissionStating(house.stores, SIGNER, asked or access_watcher(house.stores))


async def go_on() -> bool:
    return True


async def found(house: House, sha256: str) -> list[dict[str, Any]]:
    """What is stated of a file, verified."""
    keys = await StatementRows(house.database).of_file(sha256)
    return [checked(await house.store.read(statement_key(each)), SIGNER.key) for each in keys]


async def test_admission__is_stated_once_and_found_by_digest_and_by_version(house: House) -> None:
    sha256 = await admit(house, "demo-1.0-py3-none-any.whl", b"one")
    await logged(house)
    assert await stating(house).run(go_on) == 1
    assert await stating(house).run(go_on) == 0
    (statement,) = await found(house, sha256)
    assert statement["subject"][0]["digest"]["sha256"] == sha256
    predicate = statement["predicate"]
    assert predicate["upstream"]["registry"] == "https://one.example/simple/"
    assert predicate["integrity"]["expected"] == {"sha256": sha256}
    assert "policyEvaluations" not in predicate, "no rule is known yet"
    rows = StatementRows(house.database)
    assert await rows.of_version("pypi", "demo", "1") == await rows.of_file(sha256)
    assert await rows.of_version("pypi", "demo", "2") == []


async def test_the_same_bytes_under_two_names__two_statements(house: House) -> None:
    names = ["demo-1.0-py3-none-any.whl", "demo-2.0-py3-none-any.whl"]
    for name in names:
        sha256 = await admit(house, name, b"same")
    await logged(house)
    assert await stating(house).run(go_on) == 2
    told = [each["subject"][0]["name"] for each in await found(house, sha256)]
    assert told == names[::-1], "the newest first"


async def test_blocks_documents_and_files_of_unknown_sources__have_none(house: House) -> None:
    await admit(house, "demo-1.0-py3-none-any.whl.metadata", b"read", role="metadata")
    await house.database.execute(
        "INSERT INTO blocks (protocol, name, version, reason, created_by) "
        "VALUES ('pypi', 'demo', '', 'no', 'me')"
    )
    await fill(house.stores, 0, 3)
    await logged(house)
    assert await stating(house).run(go_on) == 0
    assert await StatementRows(house.database).stated() == (5, 5)


async def test_what_was_logged_over_several_bundles__is_stated_to_the_end(house: House) -> None:
    await fill(house.stores, 0, 300)
    last = await admit(house, "demo-1.0-py3-none-any.whl", b"last")
    await logged(house)
    assert await stating(house).run(go_on, seconds=0) == 0, "a bundle a turn where there is no time"
    assert await StatementRows(house.database).stated() == (256, 301)
    assert await stating(house).run(go_on) == 1
    assert len(await found(house, last)) == 1


async def test_cut_off_before_the_row__is_made_again_to_the_same_object(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha256 = await admit(house, "demo-1.0-py3-none-any.whl", b"one")
    await logged(house)

    async def fails(*_: object) -> bool:
        raise StoreUnavailable("cut off")

    with monkeypatch.context() as patched:
        patched.setattr(StatementRows, "state", fails)
        with pytest.raises(StoreUnavailable):
            await stating(house).run(go_on)
    keys = [each.key async for each in house.store.list("statements/")]
    assert await stating(house).run(go_on) == 1
    assert [each.key async for each in house.store.list("statements/")] == keys != []
    assert len(await found(house, sha256)) == 1


async def test_two_at_once__each_admission_is_stated_once(house: House) -> None:
    digests = [await admit(house, f"demo-{n}.0-py3-none-any.whl", b"%d" % n) for n in range(1, 30)]
    await logged(house)
    counts = await asyncio.gather(*(stating(house).run(go_on) for _ in range(4)))
    assert sum(counts) == len(digests)
    assert [len(await found(house, each)) for each in digests] == [1] * len(digests)


async def test_whoever_lost_the_lease__states_nothing(house: House) -> None:
    await admit(house, "demo-1.0-py3-none-any.whl", b"one")
    await logged(house)

    async def lost() -> bool:
        return False

    assert await stating(house).run(lost) == 0


async def test_policy__none_in_force_allows_nothing_and_says_so(house: House) -> None:
    sha256 = await admit(house, "demo-1.0-py3-none-any.whl", b"one")
    await logged(house)
    await stating(house, Asked()).run(go_on)
    (statement,) = await found(house, sha256)
    assert statement["predicate"]["policyEvaluations"] == []


async def test_policy__what_it_allows_is_told_with_its_stamp(house: House) -> None:
    sha256 = await admit(house, "demo-1.0-py3-none-any.whl", b"one", published=time.time() - 86_400 * 30)
    await logged(house)
    of = Block(1, "no", "pypi", "demo", "2")
    await stating(house, Asked(of)).run(go_on)
    (statement,) = await found(house, sha256)
    (told,) = statement["predicate"]["policyEvaluations"]
    assert told["result"] == "allow" and len(told["policy"]["version"]) == 16


async def test_policy__what_it_refuses_by_now_is_no_allow(house: House) -> None:
    sha256 = await admit(house, "demo-1.0-py3-none-any.whl", b"one")
    await logged(house)
    await stating(house, Asked(Block(1, "no", "pypi", "demo", "1"))).run(go_on)
    (statement,) = await found(house, sha256)
    assert "policyEvaluations" not in statement["predicate"]


async def test_the_row_is_gone__the_statement_says_what_the_entry_says(house: House) -> None:
    sha256 = await admit(house, "demo-1.0-py3-none-any.whl", b"one")
    await logged(house)
    await house.database.execute("DELETE FROM cached_urls")
    await stating(house, Asked(Block(1, "no", "pypi", "other", ""))).run(go_on)
    (statement,) = await found(house, sha256)
    assert "policyEvaluations" not in statement["predicate"]
    assert statement["predicate"]["integrity"]["result"] == "verified"


@pytest.mark.parametrize(
    ("status", "result"), [("verified", "verified"), ("failed", "unverified"), ("unknown", "unverified")]
)
async def test_publisher__named_only_where_an_attestation_of_these_bytes_was_verified(
    house: House, status: str, result: str
) -> None:
    sha256 = await admit(house, "demo-1.0-py3-none-any.whl", b"one")
    other = await admit(house, "demo-2.0-py3-none-any.whl", b"two")
    await house.database.execute(
        "INSERT INTO provenances (protocol, project, digest, status, kind, repository, workflow, why, root) "
        "VALUES ('pypi', 'demo', $1, $2, 'GitHub', 'acme/demo', 'release.yml', '', '')",
        sha256,
        status,
    )
    await logged(house)
    await stating(house).run(go_on)
    (statement,) = await found(house, sha256)
    told = statement["predicate"]["publisherSignature"]
    assert told["result"] == result
    assert told.get("keyId", "acme/demo (GitHub, release.yml)") == "acme/demo (GitHub, release.yml)"
    (statement,) = await found(house, other)
    assert statement["predicate"]["publisherSignature"] == {"result": "unverified"}
