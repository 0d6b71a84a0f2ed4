"""The keeper over real stores: each batch once, whatever is cut off; days that come and go."""

from __future__ import annotations

import asyncio
import time
import zlib
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
import pytest

from services.extractor.ledger import keeper as module
from services.extractor.ledger import rows as rows_module
from services.extractor.ledger.keeper import LedgerKeeper
from services.extractor.ledger.rows import LedgerRows
from shared.errors.passing import DatabaseUnavailable, QueueUnavailable
from shared.ledger.batch import FORMAT, Batch, Client, File, Serving, encode_batch
from shared.ledger.stream import STREAM, put_batch, read_batches
from tests.services.extractor.conftest import House

DAYS = 10
CLIENT = Client("192.0.2.7", "ci", "pip", "24.0")
FILE = File("pypi", "flask", "3", "flask-3.0.tar.gz", "ab" * 32)
DAY = 86_400.0


def noon(days: int = 0) -> float:
    """Of a day of UTC, so many days from today."""
    return (
        datetime.combine(datetime.now(UTC).date(), datetime.min.time(), UTC).timestamp() + (days + 0.5) * DAY
    )


def batch(
    number: int,
    *ats: float,
    instance: str = "one",
    client: Client = CLIENT,
    file: File = FILE,
    dropped: int = 0,
) -> Batch:
    servings = [Serving(at, 0, 0, 0, "HIT", "", 1, 100) for at in ats or (noon(),)]
    return Batch(FORMAT, instance, number, dropped, [client], [file], servings)


async def put(house: House, *batches: Batch) -> None:
    for each in batches:
        assert await put_batch(house.queue_redis, encode_batch(each))


def keeper(house: House, days: int = DAYS) -> LedgerKeeper:
    return LedgerKeeper(house.stores, days=days)


async def ats(house: House) -> list[float]:
    rows = await house.database.fetch("SELECT extract(epoch FROM at)::float8 AS at FROM servings ORDER BY at")
    return [row["at"] for row in rows]


async def days(house: House) -> list[str]:
    rows = await house.database.fetch(
        "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
        "WHERE i.inhparent = 'servings'::regclass ORDER BY 1"
    )
    return [row["relname"] for row in rows]


def name_of(day: date) -> str:
    return f"servings_{day:%Y%m%d}"


async def test_batches__are_stored_and_removed(house: House) -> None:
    await put(house, batch(1, noon(), noon() + 1), batch(2, noon() + 2), batch(1, noon() + 3, instance="two"))
    assert await keeper(house).run() == 3
    assert await ats(house) == [noon() + second for second in range(4)]
    assert await read_batches(house.queue_redis) == []
    counts = "SELECT (SELECT count(*) FROM serving_clients) AS c, (SELECT count(*) FROM serving_files) AS f"
    row = await house.database.fetchrow(counts)
    assert row is not None and (row["c"], row["f"]) == (1, 1)


async def test_batch_that_lies_there_twice__is_stored_once(house: House) -> None:
    await put(house, batch(1), batch(1), batch(2), batch(1), batch(2))
    assert await keeper(house).run() == 5
    assert len(await ats(house)) == 2


@pytest.mark.parametrize("step", ["before it is stored", "after it is stored", "after one is removed"])
async def test_cut_off__the_next_run_stores_each_batch_once(
    house: House, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    wanted = [batch(number, noon() + number) for number in range(1, 5)]
    await put(house, *wanted)
    calls = 0

    async def cut(*arguments: Any) -> None:
        nonlocal calls
        calls += 1
        if step == "after one is removed" and calls == 1:
            await remove(*arguments)
            return
        raise QueueUnavailable("cut off")

    async def cut_before(self: LedgerRows, _: Batch) -> None:
        raise DatabaseUnavailable("cut off")

    remove = module.remove_batch
    with monkeypatch.context() as patch:
        if step == "before it is stored":
            patch.setattr(LedgerRows, "keep", cut_before)
        else:
            patch.setattr(module, "remove_batch", cut)
        with pytest.raises((QueueUnavailable, DatabaseUnavailable)):
            await keeper(house).run()
    assert len(await ats(house)) == {"before it is stored": 0, "after it is stored": 1}.get(step, 2)
    await keeper(house).run()
    assert await ats(house) == [noon() + number for number in range(1, 5)]
    assert await read_batches(house.queue_redis) == []


async def test_two_keepers_at_once__store_each_batch_once(house: House) -> None:
    wanted = [batch(number, noon() + number, instance=f"i{number % 3}") for number in range(1, 100)]
    await put(house, *wanted)
    both = keeper(house), keeper(house)
    await asyncio.gather(*(each.run() for each in both))
    assert await ats(house) == [noon() + number for number in range(1, 100)]
    assert await read_batches(house.queue_redis) == []


async def test_batch_of_a_later_version__stays_for_its_extractor_and_holds_up_nobody(house: House) -> None:
    later = zlib.compress(msgspec.msgpack.encode([FORMAT + 1, "all new"]))
    for _ in range(40):  # more than one read
        await put_batch(house.queue_redis, later)
    await put(house, batch(1))
    one = keeper(house)
    assert await one.run() == 1
    assert len(await ats(house)) == 1
    assert len(await read_batches(house.queue_redis)) == 16
    await put(house, batch(2))
    assert (await one.run(), await keeper(house).run()) == (1, 0)
    assert len(await ats(house)) == 2


async def test_batch_of_a_later_version_that_nobody_took_for_a_day__gives_up_its_room(house: House) -> None:
    later = zlib.compress(msgspec.msgpack.encode([FORMAT + 1, "all new"]))
    old = int((time.time() - module.UNKNOWN_SECONDS - 60) * 1000)
    await house.queue_redis.raw.xadd(STREAM, {"batch": later}, id=f"{old}-0")
    await put_batch(house.queue_redis, later)
    assert await keeper(house).run() == 1
    assert len(await read_batches(house.queue_redis)) == 1


async def test_damaged_batch__is_removed(house: House) -> None:
    await put_batch(house.queue_redis, b"no batch")
    await put(house, batch(1))
    assert await keeper(house).run() == 2
    assert len(await ats(house)) == 1


async def test_text_that_no_column_takes__is_cleaned(house: House) -> None:
    client = Client("a\x00b" * 100, "t\x00" + "x" * 500, "é" * 500, "\x00")
    file = File("pypi", "p\x00" + "é" * 600, "v" * 3000, "f" * 5000, "no digest")
    await put(house, batch(1, client=client, file=file), batch(2))
    assert await keeper(house).run() == 2
    assert len(await ats(house)) == 2


async def test_days__are_made_ahead_and_dropped_when_too_old(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    today = datetime.now(UTC).date()
    first = LedgerRows(house.database, days=DAYS)
    await first.prepare()
    assert await days(house) == [name_of(today + timedelta(days=n)) for n in range(3)]
    await put(house, batch(1, *(noon(-n) for n in range(DAYS + 1))))
    await keeper(house).run()
    assert len(await ats(house)) == DAYS + 1, "a backlog has its days made"
    shorter = LedgerRows(house.database, days=3)
    assert await shorter.prepare() == DAYS - 3
    assert await ats(house) == [noon(-n) for n in (3, 2, 1, 0)]
    assert (await days(house))[0] == name_of(today - timedelta(days=3))


async def test_who_and_what_no_serving_names_any_more__is_removed(house: House) -> None:
    old = Client("192.0.2.8", "", "pip", "23")
    await put(house, batch(1), batch(2, client=old, file=msgspec.structs.replace(FILE, project="old")))
    await keeper(house).run()
    for table in ("serving_clients", "serving_files"):
        await house.database.execute(
            f"UPDATE {table} SET seen_on = seen_on - {DAYS + 2} WHERE id = (SELECT max(id) FROM {table})"
        )
    await LedgerRows(house.database, days=DAYS).prepare()
    rows = await house.database.fetch("SELECT address FROM serving_clients")
    assert [row["address"] for row in rows] == ["192.0.2.7"]
    assert len(await house.database.fetch("SELECT FROM serving_files")) == 1


async def test_whoever_is_seen_again__stays(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    await put(house, batch(1))
    rows = LedgerRows(house.database, days=DAYS)
    await rows.keep(batch(1))
    await house.database.execute("UPDATE serving_clients SET seen_on = seen_on - 30")
    rows._known_on = date.min  # another day
    await rows.keep(batch(2))
    row = await house.database.fetchrow("SELECT seen_on FROM serving_clients")
    assert row is not None and row["seen_on"] == datetime.now(UTC).date() + timedelta(days=1)


async def test_clock_of_a_gateway_before_midnight_is_past_it__its_client_stays_as_long_as_the_serving(
    house: House,
) -> None:
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    at = datetime.combine(tomorrow, datetime.min.time(), UTC).timestamp()
    rows = LedgerRows(house.database, days=DAYS)
    await rows.keep(batch(1, at))
    await rows.drop_before(tomorrow)
    assert await ats(house) == [at]
    assert len(await house.database.fetch("SELECT FROM serving_clients, serving_files")) == 1


async def test_days_that_another_dropped__are_made_again_and_nothing_is_lost(house: House) -> None:
    rows = LedgerRows(house.database, days=DAYS)
    await rows.keep(batch(1))
    await LedgerRows(house.database, days=0).drop_before(date(2999, 1, 1))
    assert (await rows.keep(batch(2, instance="two"))).stored == 1
    named = "SELECT FROM servings s JOIN serving_clients c ON c.id = s.client_id"
    assert len(await house.database.fetch(named)) == 1


async def test_days_that_another_dropped__are_made_again_with_those_of_the_next_days(house: House) -> None:
    rows = LedgerRows(house.database, days=DAYS)
    await rows.prepare()
    await LedgerRows(house.database, days=0).drop_before(date(2999, 1, 1))
    await rows.prepare()
    assert len(await days(house)) == 3


async def test_servings_older_than_what_is_kept__are_left_out(house: House) -> None:
    await put(house, batch(1, noon(-DAYS - 1), noon(-DAYS), 0.0, -5.0, noon()))
    await keeper(house).run()
    assert await ats(house) == [noon(-DAYS), noon()]


async def test_clock_of_a_gateway_far_ahead__servings_are_of_now(house: House) -> None:
    await put(house, batch(1, noon(400), float("nan"), float("inf")))
    await keeper(house).run()
    now = datetime.now(UTC).timestamp()
    found = await ats(house)
    assert len(found) == 3 and all(now - 60 < at <= now + 1 for at in found)


async def test_off__nothing_is_taken_and_nothing_stays(house: House) -> None:
    await put(house, batch(1))
    await keeper(house).run()
    await put(house, batch(2))
    await keeper(house, days=0).run()
    assert await read_batches(house.queue_redis) == []
    assert await ats(house) == [] and await days(house) == []
    assert await house.database.fetch("SELECT FROM serving_clients") == []
    await put(house, batch(3))  # on again
    await keeper(house).run()
    assert len(await ats(house)) == 1


async def test_servings_that_were_dropped__are_an_event_and_a_count(house: House) -> None:
    await put(house, batch(1, dropped=5), batch(1, dropped=5), batch(2, dropped=2))
    await keeper(house).run()
    events = await house.database.fetch("SELECT kind, count, detail FROM events")
    assert [(row["kind"], row["count"]) for row in events] == [("servings_dropped", 2)]
    row = await house.database.fetchrow("SELECT dropped FROM serving_gateways")
    assert row is not None and row["dropped"] == 7


async def test_numbers_of_gateways_long_gone__are_forgotten(house: House) -> None:
    await put(house, batch(1), batch(1, instance="two"))
    await keeper(house).run()
    await house.database.execute(
        "UPDATE serving_gateways SET kept_at = now() - $1 * interval '1 day' WHERE instance = 'one'",
        rows_module.GATEWAY_DAYS + 1,
    )
    await LedgerRows(house.database, days=DAYS).prepare()
    rows = await house.database.fetch("SELECT instance FROM serving_gateways")
    assert [row["instance"] for row in rows] == ["two"]


async def test_database_away__everything_stays_in_order(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.database.execute("ALTER TABLE servings RENAME TO elsewhere")  # before the migration
    await put(house, batch(1), batch(2))
    with pytest.raises(DatabaseUnavailable):
        await keeper(house).run()
    await house.database.execute("ALTER TABLE elsewhere RENAME TO servings")
    assert await keeper(house).run() == 2


async def test_open_keeper__takes_by_itself(house: House) -> None:
    one = keeper(house)
    await one.open()
    await put(house, batch(1))
    async with asyncio.timeout(20):
        while not await ats(house):
            await asyncio.sleep(0.05)
    await one.aclose()
