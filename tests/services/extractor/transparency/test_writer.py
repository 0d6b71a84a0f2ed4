"""The writer over real stores: nothing lost, doubled or forked, wherever it is cut off, whoever writes."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from services.extractor.transparency.documents import document_of
from services.extractor.transparency.keeper import RACED_IN_A_ROW
from shared.errors.passing import StoreUnavailable
from shared.objects.port import tile_key
from shared.tlog.notes import Checkpoint, read_checkpoint
from shared.tlog.proofs import check_file
from shared.tlog.signing import new_signer_text, read_signer
from shared.tlog.trees import check_consistency
from shared.transparency.reader import LogReader
from shared.transparency.rows import BUNDLES, LogRows
from tests.services.extractor.conftest import House
from tests.services.extractor.transparency.logs import KEY_TEXT, SIGNER, fill, keeper, numbers, whole_log

ROOT = Path(__file__).parents[4]


async def checkpoint_of(house: House) -> Checkpoint:
    return read_checkpoint((await LogRows(house.database).state()).checkpoint, SIGNER.key)


@pytest.mark.parametrize("batches", [[0], [1], [255, 1, 1], [256], [257, 300], [100] * 6])
async def test_what_waits_is_logged_once_and_in_order(house: House, batches: list[int]) -> None:
    ours, size, old = keeper(house.stores), 0, None
    for many in batches:
        await fill(house.stores, size, size + many)
        assert await ours.run() == many
        size += many
        found = await whole_log(house.stores, old=old)
        assert found.size == size
        old = found
    assert await numbers(house.stores) == list(range(size))


async def test_a_log_of_three_levels_is_whole(house: House) -> None:
    """255 full bundles, all alike, are there already: what comes fills the first tile of the second level."""
    await fill(house.stores, 0, 256)
    await keeper(house.stores).run()
    await house.database.execute(
        "INSERT INTO log_tiles (level, index, sha256, root) "
        "SELECT level, n, sha256, root FROM log_tiles, generate_series(1, 254) AS n"
    )
    await house.database.execute("UPDATE log_state SET size = 255 * 256")
    await house.queue_redis.command("DEL", "orchard:tlog:writer")
    await fill(house.stores, 256, 256 + 700)
    await keeper(house.stores).run()
    assert (await whole_log(house.stores)).size == 255 * 256 + 700
    (full,) = await house.database.fetch("SELECT count(*) FROM log_tiles WHERE level = 1")
    assert full["count"] == 1


async def test_killed_at_any_step__no_entry_is_lost_or_doubled_and_the_log_only_grows(
    house: House, store_settings: dict[str, str]
) -> None:
    """Each run has 300 more to log: batches before, at and after the end of a bundle."""
    command = [sys.executable, "-m", "tests.services.extractor.transparency.killed"]
    environment = {**os.environ, **store_settings}
    reader = LogReader(LogRows(house.database), house.stores.objects)
    size, old, kills, step, failed = 0, None, 0, 1, 0
    while True:
        await fill(house.stores, size, size + 300)
        size += 300
        await house.queue_redis.command("DEL", "orchard:tlog:writer")
        run = subprocess.Popen([*command, str(step), KEY_TEXT], cwd=ROOT, env=environment)
        code = await asyncio.to_thread(run.wait, 300)
        state = await reader.state()
        if state.checkpoint:
            new = read_checkpoint(state.checkpoint, SIGNER.key)
            if old is not None:
                hashes = await reader.consistency(old.size, new.size)
                check_consistency(old.size, old.root, new.size, new.root, hashes)
            old = new
        if code == 0:
            break
        if code != -signal.SIGKILL:  # a busy machine: a store did not answer in time
            failed += 1
            assert failed < 10, code
            continue
        kills, step = kills + 1, step + 1
    assert kills >= 15
    assert (await whole_log(house.stores, old=old)).size == size
    assert await numbers(house.stores) == list(range(size))


async def test_two_writers_at_once__the_log_never_forks(house: House) -> None:
    one, other = keeper(house.stores), keeper(house.stores)
    other._writer._rows = LogRows(house.database)
    await fill(house.stores, 0, 100)
    await one.run()
    await fill(house.stores, 100, 1500)

    async def always() -> bool:
        return True

    async def write(writer: object) -> None:
        for _ in range(20):
            try:
                await writer.run(always)  # type: ignore[attr-defined]
            except Exception as error:
                assert type(error).__name__ == "Raced", error

    await asyncio.gather(write(one._writer), write(other._writer))
    assert (await whole_log(house.stores)).size == 1500
    assert await numbers(house.stores) == list(range(1500))


async def test_a_writer_that_was_frozen_writes_nothing_over_what_another_wrote(house: House) -> None:
    frozen = keeper(house.stores)
    await fill(house.stores, 0, 10)
    await frozen.run()
    await house.queue_redis.command("DEL", "orchard:tlog:writer")
    await fill(house.stores, 10, 30)
    await keeper(house.stores).run()
    before = await checkpoint_of(house)
    await house.queue_redis.command("DEL", "orchard:tlog:writer")
    await fill(house.stores, 30, 40)
    assert await frozen.run() == 10  # it reads again what another wrote
    await whole_log(house.stores, old=before)
    assert await numbers(house.stores) == list(range(40))


async def test_a_database_that_lost_commits__nobody_who_wrote_before_writes_on(house: House) -> None:
    """One wrote until 12, another went on: the first, whose memory agrees with the database, knows too
    little."""
    ours, other = keeper(house.stores), keeper(house.stores)
    await fill(house.stores, 0, 12)
    assert await ours.run() == 12
    at_12 = await LogRows(house.database).state()
    await house.queue_redis.command("DEL", "orchard:tlog:writer")
    await fill(house.stores, 12, 20)
    assert await other.run() == 8
    await house.database.execute("DELETE FROM log_tail WHERE leaf >= 12")
    await house.database.execute(
        "UPDATE log_state SET checkpoint_size = 12, checkpoint = $1, size = 12", at_12.checkpoint
    )
    await fill(house.stores, 20, 30)
    await house.queue_redis.command("DEL", "orchard:tlog:writer")
    assert await ours.run() == 0
    assert (await LogRows(house.database).state()).size == 12


async def test_one_lease__another_extractor_does_nothing(house: House) -> None:
    await fill(house.stores, 0, 5)
    assert await keeper(house.stores).run() == 5
    await fill(house.stores, 5, 9)
    assert await keeper(house.stores).run() == 0


async def test_the_object_store_away__bundles_wait_and_come(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = keeper(house.stores)
    await fill(house.stores, 0, 600)

    async def away(key: str, data: bytes) -> None:
        raise StoreUnavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(house.stores.objects, "put_bytes", away)
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                await ours.run()
        assert (await LogRows(house.database).state()).size == 256  # no more than one bundle is open
    await ours.run()
    assert (await whole_log(house.stores)).size == 600
    assert await numbers(house.stores) == list(range(600))


async def test_a_database_that_lost_commits__is_not_written_to_until_the_log_has_another_name(
    house: House,
) -> None:
    ours = keeper(house.stores)
    await fill(house.stores, 0, 20)
    await ours.run()
    before = (await LogRows(house.database).state()).checkpoint
    await house.database.execute("DELETE FROM log_tail WHERE leaf >= 12")
    await house.database.execute(
        "UPDATE log_state SET checkpoint_size = 10, checkpoint = $1, size = 12",
        SIGNER.checkpoint(10, bytes(32)),
    )
    await fill(house.stores, 20, 30)
    for each in (ours, ours, keeper(house.stores)):
        await house.queue_redis.command("DEL", "orchard:tlog:writer")
        assert await each.run() == 0
    assert (await LogRows(house.database).state()).size == 12
    assert before  # witnesses have it
    other = read_signer(new_signer_text("logs.example/again"))
    await house.queue_redis.command("DEL", "orchard:tlog:writer")
    assert await keeper(house.stores, other).run() == 10
    assert (await whole_log(house.stores, other.key)).size == 22


async def test_nothing_is_numbered_before_what_was_stored_before(house: House) -> None:
    await house.database.execute("UPDATE log_state SET collected = false")
    await fill(house.stores, 0, 5)
    assert await keeper(house.stores).run() == 0
    assert (await LogRows(house.database).state()).size == 0


async def test_what_a_later_version_wrote_waits_for_it(house: House) -> None:
    await house.database.execute("INSERT INTO log_outbox (at, kind, body) VALUES (now(), 'of.later', '{}')")
    await fill(house.stores, 0, 5)
    assert await keeper(house.stores).run() == 5
    assert await numbers(house.stores) == list(range(5))


async def test_a_proof_of_each_file_leads_to_the_checkpoint(house: House) -> None:
    ours = keeper(house.stores)
    await fill(house.stores, 0, 300)
    await ours.run()
    old = await checkpoint_of(house)
    await fill(house.stores, 300, 700)
    await ours.run()
    reader = LogReader(LogRows(house.database), house.stores.objects)
    for number in (0, 255, 256, 511, 512, 699):
        sha256 = hashlib.sha256(b"x%d" % number).hexdigest()
        proof = await reader.proof(sha256)
        assert proof is not None
        entry, new = check_file(sha256, proof, SIGNER.key)
        assert entry["size"] == number and new.size == 700
    assert await reader.proof(hashlib.sha256(b"never").hexdigest()) is None
    hashes = await reader.consistency(300, 700)
    check_consistency(300, old.root, 700, (await checkpoint_of(house)).root, hashes)


async def test_a_file_admitted_again_since_a_checkpoint__is_proven_by_its_entry_under_that(
    house: House,
) -> None:
    await fill(house.stores, 0, 300)
    await keeper(house.stores).run()
    rows = LogRows(house.database)
    then, sha256 = await rows.state(), hashlib.sha256(b"x7").hexdigest()
    await fill(house.stores, 7, 8)
    waiting = await rows.waiting(["admission"], 1)
    entry, _ = document_of(waiting[0])
    assert await rows.append(300, [waiting[0].id], [entry], [bytes.fromhex(sha256)]), "numbered, not signed"
    reader = LogReader(rows, house.stores.objects)
    for state in (None, then):
        proof = await reader.proof(sha256, state)
        assert proof is not None and proof.index == 7
        check_file(sha256, proof, SIGNER.key)
    await house.queue_redis.command("DEL", "orchard:tlog:writer")
    await keeper(house.stores).run()
    newest, older = await reader.proof(sha256), await reader.proof(sha256, then)
    assert newest is not None and newest.index == 300
    assert older is not None and older.index == 7, "a bundle is proven by the checkpoint that it carries"


async def test_rows_that_lack__stop_the_log_with_a_word(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    await fill(house.stores, 0, 5)
    await keeper(house.stores).run()
    await house.database.execute("DELETE FROM log_tail WHERE leaf = 2")
    await house.queue_redis.command("DEL", "orchard:tlog:writer")
    other = keeper(house.stores)
    capsys.readouterr()
    for _ in range(RACED_IN_A_ROW):
        assert await other.run() == 0
    assert capsys.readouterr().out.count("log_rows_disagree") == 1


@pytest.mark.parametrize("level", [BUNDLES, 0])
async def test_a_damaged_tile_or_bundle_is_an_error_and_never_a_proof(house: House, level: int) -> None:
    await fill(house.stores, 0, 300)
    await keeper(house.stores).run()
    digests = await house.database.fetch("SELECT sha256 FROM log_tiles WHERE level = $1", level)
    path = house.store.local_path(tile_key(bytes(digests[0]["sha256"]).hex()))
    assert path is not None
    data = bytearray(path.read_bytes())
    data[40] ^= 1
    path.chmod(0o600)
    sha256 = hashlib.sha256(b"x0").hexdigest()
    for damaged in (data, data[:-1]):
        path.write_bytes(damaged)
        with pytest.raises(StoreUnavailable, match="is damaged"):
            reader = LogReader(LogRows(house.database), house.stores.objects)
            await (reader.proof(sha256) if level == BUNDLES else reader.consistency(100, 300))


async def test_a_proof__is_made_of_the_entries__whose_tile_is_not_read(house: House) -> None:
    await fill(house.stores, 0, 300)
    await keeper(house.stores).run()
    (tile,) = await house.database.fetch("SELECT sha256 FROM log_tiles WHERE level = 0")
    path = house.store.local_path(tile_key(bytes(tile["sha256"]).hex()))
    assert path is not None
    path.unlink()
    reader = LogReader(LogRows(house.database), house.stores.objects)
    for number in (0, 255, 299):
        sha256 = hashlib.sha256(b"x%d" % number).hexdigest()
        proof = await reader.proof(sha256)
        assert proof is not None
        check_file(sha256, proof, SIGNER.key)
