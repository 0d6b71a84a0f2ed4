"""Feeds are looked at each by itself, and what they tell counts as soon as it is read."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from services.fetcher.feeds import keeper as keeping
from services.fetcher.feeds.build import Made
from services.fetcher.feeds.keeper import FeedKeeper, _since
from services.fetcher.feeds.rows import Feed, FeedRows
from services.fetcher.http.manager import HttpClientManager
from shared.access.feeds import KEY, FeedState, pack, read_state, write_state
from shared.access.repository import write_rules
from shared.access.watcher import AccessWatcher
from shared.models import FileName
from shared.policy.advisories import About, Advisory, Span, make_snapshot
from shared.policy.rules import Rules
from shared.process.resources import Resources
from shared.protocols import attests, named_alike, version_key
from shared.settings import load_settings
from shared.stores import Stores, open_stores
from tests.firewall.feeds import Folder, osv, span
from tests.support.rows import row_of
from tests.support.upstream import Fault, Reply, Upstream

PATH = "/osv/MAL-1.json"


@dataclass
class Town:
    """A keeper of two feeds, a folder and an address, over real stores; not open yet."""

    keeper: FeedKeeper
    stores: Stores
    access: AccessWatcher
    folder: Folder
    upstream: Upstream
    address: str

    async def looked_at(self) -> set[str]:
        """The feeds that were tried."""
        return set(await FeedRows(self.stores.database).read([str(self.folder.path), self.address]))

    async def counting(self) -> int:
        """How many feeds count; 0: none yet."""
        state = await read_state(self.stores.queue_redis)
        return 0 if state is None else len(state.feeds)

    def knows(self, name: str) -> bool:
        return self.access.policy.of("npm", name).by_malware("1.0.0") is not None


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        server.put(PATH, Reply(document("slow"), "application/json"))
        yield server


def document(name: str) -> bytes:
    return json.dumps(osv("MAL-1", "npm", name, ranges=[span()])).encode()


@pytest_asyncio.fixture
async def town(
    store_settings: dict[str, str], tmp_path: Path, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Town]:
    for name in ("TURN_SECONDS", "FOLDER_SECONDS", "ADDRESS_SECONDS"):
        monkeypatch.setattr(keeping, name, 0.1)
    folder, address = Folder(tmp_path / "osv"), upstream.url + PATH
    feeds = {"ORCHARD_OSV_FEEDS": f"{folder.path},{address}", "ORCHARD_DATA_DIR": str(tmp_path / "data")}
    async with Resources() as resources, HttpClientManager() as http:
        stores = await open_stores(resources, load_settings({**store_settings, **feeds}))
        access = AccessWatcher(
            stores.database, stores.queue_redis, named=named_alike, order=version_key, attests=attests
        )
        await write_rules(store_settings["ORCHARD_DATABASE_URL"], Rules(feeds=True), 1.0)
        await access.refresh()
        keeper = FeedKeeper(stores, http=http, access=access)
        try:
            yield Town(keeper, stores, access, folder, upstream, address)
        finally:
            await keeper.aclose()


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(30):
        while not await condition():
            await asyncio.sleep(0.02)


async def test_one_feed_is_slow__the_others_count_at_once(town: Town) -> None:
    await town.keeper.open()

    async def both_count() -> bool:
        return await town.counting() == 2

    await until(both_count)
    asked = town.upstream.count(PATH)
    town.upstream.fault(PATH, Fault(stall_at=10))
    town.upstream.put(PATH, Reply(document("other"), "application/json"))

    async def asked_again() -> bool:
        return town.upstream.count(PATH) > asked

    await until(asked_again)
    town.folder.put(osv("MAL-2", "npm", "new", ranges=[span()]))

    async def is_known() -> bool:
        await town.access.refresh()
        return town.knows("new")

    await until(is_known)
    rows = await FeedRows(town.stores.database).read([town.address])
    assert not rows[town.address].state.fault, "the slow one is waited for still"
    assert town.knows("slow"), "and what it told last counts"


async def test_look_that_takes_longer_than_the_pause__is_one_fetcher_s(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second fetcher, whose turn it is, leaves a feed to the one that looks at it still."""
    monkeypatch.setattr(keeping, "ADDRESS_SECONDS", 600.0)
    town.upstream.fault(PATH, Fault(stall_at=10))
    keeping._prepare(town.keeper._folder)
    (feed,) = (each for each in town.keeper._feeds if each.path is None)
    looking = asyncio.create_task(town.keeper._turn(feed))

    async def asked() -> bool:
        return town.upstream.count(PATH) == 1

    await until(asked)
    mark = f"{KEY}:look:{hashlib.sha256(feed.name.encode()).hexdigest()[:16]}"
    async with HttpClientManager() as http:
        other = FeedKeeper(town.stores, http=http, access=town.access)
        await town.stores.queue_redis.command("DEL", mark)  # its pause is over
        async with asyncio.timeout(30):
            await other._turn(feed)
        assert await town.stores.queue_redis.command("EXISTS", mark), "it was the other's turn"
    assert town.upstream.count(PATH) == 1 and not looking.done()
    looking.cancel()
    await asyncio.gather(looking, return_exceptions=True)


async def test_state_that_nobody_was_told_of__the_next_one_may_have_changed_anything(town: Town) -> None:
    rows = FeedRows(town.stores.database)

    async def keep(digest: str, before: str, at: float) -> Feed:
        await rows.keep("x", digest, Made(digest=digest, changed=(("npm", digest),)), b"", before, at)
        return (await rows.read(["x"]))["x"]

    assert (await keep("one", "", 10.0)).state.changed == (("npm", "one"),)
    await rows.note_told("x", "one")
    assert (await keep("two", "one", 20.0)).state.changed == (("npm", "two"),)
    skipped = await keep("three", "two", 30.0)
    assert skipped.state.changed is None
    assert _since(skipped) == 11.0, "what was seen since it told something last is news"


async def test_file_that_was_stored_by_what_was_known_before__is_held_once_all_know(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fetcher that is a second behind may store a file after the advisory on it was settled."""
    monkeypatch.setattr(keeping, "BEHIND_SECONDS", 1e9)
    await town.keeper.open()
    rows, feeds = FeedRows(town.stores.database), [str(town.folder.path), town.address]

    async def is_settled() -> bool:
        found = (await rows.read(feeds)).values()
        told = len(found) == 2 and all(each.told == each.state.digest for each in found)
        return told and town.keeper._quarantine._policy is town.access.policy

    await until(is_settled)
    file = FileName("npm", "slow", "-", "slow-1.0.0.tgz")
    source = await town.stores.database.fetchrow(
        "INSERT INTO upstream_sources (protocol, name, url) VALUES ('npm', 'main', 'http://up.example/') "
        "RETURNING id"
    )
    assert source is not None
    await town.stores.artifacts.get_or_create_artifact(
        row_of(file, b"evil", source_id=source["id"], upstream_url="http://up.example/f")
    )
    monkeypatch.setattr(keeping, "BEHIND_SECONDS", -10.0)

    async def is_held() -> bool:
        return bool(await town.stores.database.fetch("SELECT FROM quarantine WHERE project = 'slow'"))

    await until(is_held)


async def test_another_fetcher_writes_newer_states_meanwhile__they_count_in_the_end(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It keeps and publishes a state between this one's look at the rows and its own publishing."""
    rows, feed = FeedRows(town.stores.database), str(town.folder.path)
    written: list[list[str]] = []

    async def write_late(redis: Any, states: Sequence[FeedState]) -> None:
        if not written:
            before = next(each.digest for each in states if each.feed == feed)
            data = make_snapshot([About("npm", "newer", (Advisory("MAL-9", True, spans=(Span(),)),))])
            digest = hashlib.sha256(data).hexdigest()
            await rows.keep(feed, "newer", Made(digest=digest, count=1), pack(data), before, 2e9)
        written.append([each.digest for each in states])
        await write_state(redis, states)

    monkeypatch.setattr(keeping, "write_state", write_late)
    await town.keeper.open()

    async def newer_counts() -> bool:
        await town.access.refresh()
        return town.knows("newer")

    await until(newer_counts)
    assert len(written) > 1


async def test_first_of_all__nothing_counts_before_each_feed_was_tried(town: Town) -> None:
    town.upstream.fault(PATH, Fault(delay_seconds=1.5))
    await town.keeper.open()

    async def something_counts() -> bool:
        return await town.counting() > 0

    await until(something_counts)
    assert await town.looked_at() == {str(town.folder.path), town.address}
