"""`FeedKeeper`: looks at the feeds of ORCHARD_OSV_FEEDS, and has what is new count everywhere.

One of all fetchers looks at a feed at a time, at each by itself: one that is slow keeps no other waiting.
What it has is read in a process of its own (`build.py`), kept as a row, then put into the queue Redis, where
all processes find it. What cannot be read, or is worse than what was there, changes nothing but the fault
that `orchard feeds list` and an event tell.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import math
import shutil
import tempfile
import time
from functools import partial
from pathlib import Path

import msgspec

from services.fetcher.feeds.build import Made, Order
from services.fetcher.feeds.download import Feed, download, feed_of
from services.fetcher.feeds.files import UnreadableFeed, signature, told_checksum
from services.fetcher.feeds.news import News
from services.fetcher.feeds.quarantine import Quarantine
from services.fetcher.feeds.rows import Feed as Known
from services.fetcher.feeds.rows import FeedRows
from services.fetcher.http.manager import HttpClientManager
from shared.access.feeds import KEY, has_blob, read_state, unpack, write_blob, write_state
from shared.access.watcher import AccessWatcher
from shared.errors import OrchardError
from shared.process.child import answer_of
from shared.process.periodic import Every, Work
from shared.redis import clock
from shared.redis.lease import lease
from shared.redis.script import take_mark
from shared.stores import Stores
from shared.telemetry.logs import get_logger

log = get_logger()

TURN_SECONDS = 1.0
FOLDER_SECONDS = 2.0  # between two looks at a folder or file
ADDRESS_SECONDS = 55.0  # between two conditional requests
LOOK_SHARE = 20  # so many times as long as a look took, the next one waits at least
READ_SECONDS = 900.0
BEHIND_SECONDS = 30.0  # so long after a snapshot was read no process stores by the one before
SETTLED_SECONDS = 600.0  # a fetcher that starts later settles nothing again
LEASE_SECONDS = 10.0  # after so long others look at a feed at which a fetcher died

_ROOT = Path(__file__).parents[3]
_decode = msgspec.json.Decoder(Made).decode


class FeedKeeper:
    """Of one fetcher, while open."""

    def __init__(self, stores: Stores, *, http: HttpClientManager, access: AccessWatcher) -> None:
        self._stores = stores
        self._redis = stores.queue_redis
        self._http = http
        self._access = access
        self._folder = Path(stores.settings.data_dir).resolve() / "feeds"  # for what is read just now
        self._rows = FeedRows(stores.database)
        self._news = News(stores, access)
        self._quarantine = Quarantine(stores, access)
        self._feeds = [feed_of(text, number) for number, text in enumerate(stores.settings.osv_feeds)]
        self._pauses: dict[str, float] = {}  # seconds, of feeds at which a look takes long
        self._settled: dict[str, str] = {}  # by feed: the digest that is settled now that all know it
        self._reading = asyncio.Lock()  # a process that reads one may take `build.MOST_MEMORY_BYTES`
        self._publishing = asyncio.Lock()
        work: list[Work] = [*(partial(self._turn, feed) for feed in self._feeds), self._follow]
        self._turns = [Every(TURN_SECONDS, each, name="osv feeds", first_seconds=0) for each in work]

    async def open(self) -> None:
        """Start."""
        if self._feeds:
            await self._stores.threads.run(_prepare, self._folder)
        for each in self._turns:
            await each.open()

    async def aclose(self) -> None:
        """Stop, in the middle of a look if need be."""
        await asyncio.gather(*(each.aclose() for each in self._turns))

    async def _turn(self, feed: Feed) -> None:
        name = hashlib.sha256(feed.name.encode(errors="replace")).hexdigest()[:16]
        usual = ADDRESS_SECONDS if feed.path is None else FOLDER_SECONDS
        pause = max(usual, self._pauses.get(feed.name, 0.0))
        if not await take_mark(self._redis, f"{KEY}:look:{name}", pause):
            return
        async with lease(self._redis, f"{KEY}:looking:{name}", LEASE_SECONDS) as is_ours:
            if not is_ours:  # a look may take longer than the pause
                return
            await self._look(feed, (await self._rows.read([feed.name])).get(feed.name))
        async with self._publishing:
            await self._publish()

    async def _follow(self) -> None:
        """Without any feed, too: what is under quarantine by those that were is given back."""
        async with self._publishing:
            await self._quarantine.follow()

    # --- one look ---------------------------------------------------------------------------------

    async def _look(self, feed: Feed, known: Known | None) -> None:
        tried = known.tried if known is not None else ""
        with tempfile.TemporaryDirectory(prefix="osv-", dir=self._folder) as name:
            work = Path(name)
            try:
                path, state = await self._newest(feed, tried, work)
            except (UnreadableFeed, OrchardError) as error:
                await self._refuse(
                    feed, known, tried, error.message if isinstance(error, OrchardError) else str(error)
                )
                return
            if state in ("", tried):
                if known is not None and known.tried == known.good:
                    await self._rows.confirm(feed.name, known.good)
                return
            async with self._reading:
                now = float(math.ceil(clock.now()))  # what is stored by now was here before the advisory
                made, packed = await self._read(feed, known, path, work, now)
        if made.refused:
            await self._refuse(feed, known, state, made.refused)
            return
        before = known.state.digest if known is not None else ""
        if made.digest == before:
            await self._rows.confirm(feed.name, state)
            return
        await self._rows.keep(feed.name, state, made, packed, before, now)
        log.info("feed_read", feed=feed.name, advisories=made.count, left_out=made.left_out)

    async def _newest(self, feed: Feed, tried: str, work: Path) -> tuple[Path, str]:
        """Where its content is, and what tells it from others; "": it is what was tried. Raises
        `UnreadableFeed` and what an address raises."""
        if feed.path is not None:
            started = time.monotonic()
            found = await self._stores.threads.run(signature, feed.path)
            self._pauses[feed.name] = LOOK_SHARE * (time.monotonic() - started)
            return feed.path, found
        assert feed.source is not None
        target = work / ("feed.zip" if feed.source.url.partition("?")[0].endswith(".zip") else "feed.json")
        etag = "" if tried.startswith("sha256:") else tried
        return target, await download(self._http, feed.source, etag, target)

    async def _read(
        self, feed: Feed, known: Known | None, path: Path, work: Path, now: float
    ) -> tuple[Made, bytes]:
        previous, target = work / "previous", work / "snapshot"
        data: bytes | bytearray = b""
        if known is not None and known.state.digest:
            packed = await self._rows.snapshot(feed.name)
            data = await self._stores.threads.run(unpack, packed, known.state.digest)
            await self._stores.threads.run(previous.write_bytes, data)
        order = Order(
            feed=str(_ROOT / path),
            previous=str(previous) if data else "",
            target=str(target),
            now=now,
            may_shrink=known is not None and known.may_shrink,
            sha256=told_checksum(path),
        )
        made = await _built(order)
        if made.refused:
            return made, b""
        return made, await self._stores.threads.run(target.read_bytes)

    async def _refuse(self, feed: Feed, known: Known | None, tried: str, why: str) -> None:
        await self._rows.refuse(feed.name, tried, why)
        if known is not None and known.state.fault == why[:500]:
            return
        log.warning("feed_refused", feed=feed.name, reason=why)
        detail = {"feed": feed.name, "because": why}
        await self._stores.artifacts.record_event("feed_refused", "", "", "", detail)

    # --- what counts ------------------------------------------------------------------------------

    async def _publish(self) -> None:
        """Raises what the stores raise: the next turn does it. What counts first is of all feeds, as far as
        they can be read: else what a slow one tells would be served until then."""
        names = [each.name for each in self._feeds]
        rows = await self._rows.read(names)
        standing = await read_state(self._redis)
        if standing is None and len(rows) < len(names):
            return
        known = [rows[name] for name in names if name in rows]
        for each in known:
            digest = each.state.digest
            if digest and not await has_blob(self._redis, digest):
                await write_blob(self._redis, digest, await self._rows.snapshot(each.state.feed))
        states = [each.state for each in known]
        if standing is None or list(standing.feeds) != states:
            await write_state(self._redis, states)
            rows = await self._rows.read(names)  # another fetcher may have kept, and written, newer ones
            if [rows[name].state for name in names if name in rows] != states:
                await self._publish()
                return
        await self._access.feeds.look()
        for each in known:
            digest = each.state.digest
            if each.told != digest:
                await self._quarantine.settle(each.state.changed)
                await self._news.tell(each.state, _since(each))
                await self._rows.note_told(each.state.feed, digest)
            elif self._settled.get(each.state.feed) != digest and _all_know(each):
                await self._quarantine.settle(each.state.changed)  # what was stored meanwhile by those that
                self._settled[each.state.feed] = digest  # did not know it yet


def _all_know(feed: Known) -> bool:
    """Whether all processes have had the time to take its newest snapshot; false also of one that they have
    had for long."""
    return BEHIND_SECONDS < clock.now() - feed.state.read_at < SETTLED_SECONDS


def _since(feed: Known) -> float:
    """Advisories that were seen first at that moment (unix seconds), or later, are news."""
    skipped = (
        feed.state.changed is None and feed.told_read_at
    )  # those of a state that nobody was told of, too
    return feed.told_read_at + 1 if skipped else feed.state.read_at


def _prepare(folder: Path) -> None:
    """Make the folder, and remove what killed fetchers left in it (several may share it)."""
    folder.mkdir(parents=True, exist_ok=True)
    for leftover in folder.iterdir():
        with contextlib.suppress(OSError):
            if leftover.stat().st_mtime < time.time() - 2 * READ_SECONDS:
                shutil.rmtree(leftover)


async def _built(order: Order) -> Made:
    """What the child says; of one that dies, that the feed is refused."""
    try:
        output = await answer_of("services.fetcher.feeds.build", msgspec.json.encode(order), READ_SECONDS)
    except TimeoutError:
        return Made(f"to read it takes longer than {READ_SECONDS:.0f} s")
    try:
        return _decode(output)
    except msgspec.MsgspecError:
        return Made("the process that read it died")
