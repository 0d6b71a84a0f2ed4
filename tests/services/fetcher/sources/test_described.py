"""What a source says of itself: kept, shared, and what stands when it says nothing usable (decision 28)."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from services.fetcher.http.manager import HttpClientManager
from services.fetcher.sources import described
from services.fetcher.sources.breakers import Breakers
from services.fetcher.sources.chained import Installations
from services.fetcher.sources.described import SourceDocuments
from services.fetcher.sources.probing import probe_with
from services.fetcher.sources.upstreams import Upstreams
from shared.errors import OrchardError, UpstreamBlocked, UpstreamInvalid
from shared.models import SourceLimits, UpstreamSource
from shared.process.resources import Resources
from shared.protocols.pypi import PyPIProxy
from shared.protocols.pypi.upstream import PyPIUpstream
from shared.protocols.roles.upstream import SOURCE_DOCUMENT, Lifetime, UpstreamRequest
from shared.redis import clock
from shared.settings import load_settings
from shared.stores import Stores, open_stores
from tests.services.fetcher.test_validators import ETAGS, SENT_BACK
from tests.support.upstream import Fault, Reply, Upstream

ABOUT = "/simple/about"


class DescribedUpstream(PyPIUpstream):
    """An index whose source says where its pages are."""

    fresh: float = 3600.0

    def source_document(self, source_url: str) -> UpstreamRequest | None:
        return UpstreamRequest(f"{source_url}about", "text/plain")

    def read_source_document(self, body: bytes) -> object:
        if not body.startswith(b"pages "):
            raise UpstreamInvalid("no such document")
        return {"pages": body.decode().removeprefix("pages ")}

    def upstream_request(self, identity: str, source: UpstreamSource) -> UpstreamRequest:
        assert isinstance(source.document, dict)
        return UpstreamRequest(source.document["pages"] + identity)

    def lifetime(self, identity: str) -> Lifetime:
        return Lifetime(fresh=self.fresh if identity == SOURCE_DOCUMENT else 1.0)


class Described(PyPIProxy):
    @cached_property
    def upstream(self) -> DescribedUpstream:
        return DescribedUpstream()


class Process:
    """What one fetcher has of it, over the stores that all share."""

    def __init__(self, stores: Stores, http: HttpClientManager, **changed: Any) -> None:
        settings = msgspec.structs.replace(stores.settings, **changed)
        self.breakers = Breakers(stores.cache, probe_with(http, settings))
        self.documents = SourceDocuments(dataclasses.replace(stores, settings=settings))
        self.upstreams = Upstreams(http, self.breakers, self.documents, settings, Installations(stores.cache))


class World:
    def __init__(self, stores: Stores, http: HttpClientManager, upstream: Upstream) -> None:
        self.stores, self.http, self.upstream = stores, http, upstream
        self.protocol = Described()
        self.processes: list[Process] = []
        self.process = self.next_process()
        limits = SourceLimits(read_timeout_seconds=0.3)
        self.source = UpstreamSource(7, "pypi", "main", f"{upstream.url}/simple/", limits=limits)
        self.tell("/pages/")

    def tell(self, folder: str, address: str = "") -> None:
        body = f"pages {address or self.upstream.url}{folder}".encode()
        self.upstream.put(ABOUT, Reply(body, "text/plain"))

    async def pages(self, process: Process | None = None) -> str:
        """Where the pages of the source are, as a process knows."""
        found = await (process or self.process).upstreams.described(self.protocol, self.source)
        assert isinstance(found.document, dict)
        return str(found.document["pages"]).removeprefix(self.upstream.url)

    async def is_current(self) -> bool:
        return await self.process.upstreams.is_described_now(self.protocol, self.source)

    def asked(self) -> int:
        return self.upstream.count(ABOUT)

    def next_process(self, **settings: Any) -> Process:
        self.processes.append(Process(self.stores, self.http, **settings))
        return self.processes[-1]

    async def aclose(self) -> None:
        for process in self.processes:
            await process.documents.aclose()
            await process.breakers.aclose()


@pytest_asyncio.fixture
async def world(upstream: Upstream, store_settings: Mapping[str, str]) -> AsyncIterator[World]:
    settings = load_settings({**store_settings, "ORCHARD_HTTP_READ_TIMEOUT": "1"})
    async with Resources() as resources:
        stores = await open_stores(resources, settings)
        http = await resources.open("http", HttpClientManager.from_settings(settings))
        made = World(stores, http, upstream)
        resources.add("processes", made.aclose)
        yield made


async def test_many_at_once__one_request_and_none_within_its_lifetime(world: World) -> None:
    world.upstream.fault(ABOUT, Fault(delay_seconds=0.1))
    assert set(await asyncio.gather(*(world.pages() for _ in range(20)))) == {"/pages/"}
    assert world.asked() == 1
    assert await world.pages() == "/pages/"
    assert await world.pages(world.next_process()) == "/pages/"  # the row says how old it is
    assert world.asked() == 1


async def test_lifetime_over__asked_conditionally_and_a_304_renews_it_for_all(world: World) -> None:
    world.protocol.upstream.fresh = 0.0
    await world.pages()
    assert await world.pages() == "/pages/"
    first, second = world.upstream.seen(ABOUT)
    assert "if-none-match" not in first.headers
    assert second.headers["if-none-match"] == world.upstream.reply(ABOUT).validator
    world.protocol.upstream.fresh = 3600.0
    assert await world.pages(world.next_process()) == "/pages/"
    assert world.asked() == 2
    world.protocol.upstream.fresh = 0.0
    world.tell("/elsewhere/")
    assert await world.pages() == "/elsewhere/"


@pytest.mark.parametrize("etag", ETAGS.values(), ids=ETAGS)
async def test_lifetime_over__asked_with_the_bytes_of_the_etag_or_without_conditions(
    world: World, etag: str
) -> None:
    world.protocol.upstream.fresh = 0.0
    world.upstream.put(ABOUT, replace(world.upstream.reply(ABOUT), etag=etag))
    assert [await world.pages(), await world.pages()] == ["/pages/", "/pages/"]
    again = world.upstream.seen(ABOUT)[1].headers
    assert again.get("if-none-match") == (etag if etag in SENT_BACK.values() else None)


async def test_stamped_by_a_clock_that_went_back__asked_again_and_then_stamped_by_this_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_now = clock.now
    monkeypatch.setattr(clock, "now", lambda: true_now() + 86400)
    await world.pages()
    world.tell("/elsewhere/")
    monkeypatch.setattr(clock, "now", true_now)
    assert await world.pages() == "/elsewhere/"  # by memory
    assert await world.pages(world.next_process()) == "/elsewhere/"  # by the row
    assert world.asked() == 2


async def test_stamped_by_a_clock_that_went_back__while_the_source_fails_not_asked_at_every_request(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_now = clock.now
    monkeypatch.setattr(clock, "now", lambda: true_now() + 86400)
    await world.pages()
    monkeypatch.setattr(clock, "now", true_now)
    world.upstream.fault(ABOUT, Fault(status=200, body=b"nonsense"))
    for _ in range(3):
        assert await world.pages() == "/pages/"
    assert world.asked() == 2


TROUBLES = [
    (Fault(status=404, body=b""), "upstream_unavailable"),
    (Fault(status=410, body=b""), "upstream_unavailable"),
    (Fault(status=503, body=b""), "upstream_unavailable"),
    (Fault(status=403, body=b""), "upstream_refused"),
    (Fault(silent=True), "upstream_timeout"),
    (Fault(redirect="http://192.168.77.7/about"), "upstream_blocked"),
    (Fault(status=200, body=b"<html>log in</html>"), "upstream_invalid"),
    (Fault(status=304, body=b""), "upstream_invalid"),
]


@pytest.mark.parametrize(
    "fault, code", TROUBLES, ids=("404", "410", "503", "403", "silence", "refused address", "nonsense", "304")
)
async def test_trouble__an_error_of_an_upstream_and_never_404__then_the_last_good_one_stands(
    world: World, fault: Fault, code: str
) -> None:
    world.upstream.fault(ABOUT, fault)
    with pytest.raises(OrchardError) as caught:
        await world.pages()
    assert (caught.value.code, caught.value.status == 404) == (code, False)

    world.upstream.heal()
    world.protocol.upstream.fresh = 0.0
    one = world.next_process()  # no breaker of before holds it back
    await world.stores.cache_redis.raw.flushall()
    assert await world.pages(one) == "/pages/"
    world.upstream.fault(ABOUT, fault if fault.status != 304 else Fault(status=500))
    asked = world.asked()
    for process in (one, world.next_process()):
        assert await world.pages(process) == "/pages/"
    assert world.asked() > asked
    asked = world.asked()
    assert await world.pages(one) == "/pages/"
    assert world.asked() == asked  # not at every request


@pytest.mark.parametrize("restarted", [False, True], ids=["known", "stored"])
async def test_silent__an_old_one_is_served_after_a_short_wait_once_and_the_look_goes_on(
    world: World, restarted: bool
) -> None:
    world.protocol.upstream.fresh = 0.0
    world.source = msgspec.structs.replace(world.source, limits=SourceLimits(read_timeout_seconds=30.0))
    await world.pages()
    process = world.next_process(stale_wait=0.3) if restarted else world.next_process()
    if not restarted:
        await world.pages(process)
    world.upstream.fault(ABOUT, Fault(silent=True))
    asked, before = world.asked(), time.monotonic()
    assert set(await asyncio.gather(*(world.pages(process) for _ in range(20)))) == {"/pages/"}
    assert await world.pages(process) == "/pages/"
    assert time.monotonic() - before < 15.0
    assert world.asked() == asked + 1


async def test_slow__an_old_one_is_served_and_the_look_that_goes_on_brings_the_new_one(world: World) -> None:
    await world.pages()
    world.tell("/elsewhere/")
    world.upstream.fault(ABOUT, Fault(delay_seconds=0.2))
    process = world.next_process(stale_wait=0.0)
    world.protocol.upstream.fresh = 0.0
    assert await world.pages(process) == "/pages/"
    world.protocol.upstream.fresh = 3600.0
    async with asyncio.timeout(30):
        while await world.pages(process) == "/pages/":
            await asyncio.sleep(0.01)
    assert world.asked() == 2


async def test_trouble_is_over__the_new_one_is_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(described, "AGAIN_SECONDS", 0.0)
    world.protocol.upstream.fresh = 0.0
    await world.pages()
    world.upstream.fault(ABOUT, Fault(status=200, body=b"nonsense"), times=1)
    assert await world.pages() == "/pages/"
    world.tell("/elsewhere/")
    assert await world.pages() == "/elsewhere/"


async def test_asked_whether_it_is_current__asked_anew_once_in_some_seconds_and_known_to_all(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.pages()
    world.tell("/elsewhere/")
    assert await world.is_current()  # just asked
    assert await world.pages() == "/pages/"
    true_now = clock.now
    monkeypatch.setattr(clock, "now", lambda: true_now() + 10)
    world.upstream.fault(ABOUT, Fault(delay_seconds=0.1))
    assert all(await asyncio.gather(*(world.is_current() for _ in range(20))))
    assert await world.pages() == "/elsewhere/"
    assert await world.pages(world.next_process()) == "/elsewhere/"
    assert world.asked() == 2


async def test_asked_whether_it_is_current__its_source_fails__no_and_the_old_one_serves(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.pages()
    monkeypatch.setattr(described, "AGAIN_SECONDS", 0.0)
    world.upstream.fault(ABOUT, Fault(status=503))
    assert not await world.is_current()
    monkeypatch.setattr(described, "AGAIN_SECONDS", 5.0)
    asked = world.asked()
    assert not await world.is_current()
    assert (await world.pages(), world.asked()) == ("/pages/", asked)


async def test_look_outlives_the_wait__not_current__and_its_answer_is_known_once_it_is_there(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.pages()
    world.tell("/elsewhere/")
    monkeypatch.setattr(described, "AGAIN_SECONDS", 0.0)
    monkeypatch.setattr(described, "CURRENT_SECONDS", 0.05)
    world.source = msgspec.structs.replace(world.source, limits=SourceLimits(read_timeout_seconds=30.0))
    world.upstream.fault(ABOUT, Fault(delay_seconds=0.5), times=1)
    assert not await world.is_current()
    assert await world.pages() == "/pages/"
    monkeypatch.setattr(described, "CURRENT_SECONDS", 30.0)
    assert await world.is_current()  # by the look that went on
    assert await world.pages() == "/elsewhere/"
    assert await world.pages(world.next_process()) == "/elsewhere/"


async def test_look_outlives_the_wait_and_fails__the_next_one_brings_the_new_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.pages()
    world.tell("/elsewhere/")
    monkeypatch.setattr(described, "AGAIN_SECONDS", 0.0)
    monkeypatch.setattr(described, "CURRENT_SECONDS", 0.05)
    world.upstream.fault(ABOUT, Fault(silent=True), times=1)
    assert not await world.is_current()
    monkeypatch.setattr(described, "CURRENT_SECONDS", 30.0)
    await world.is_current()
    assert await world.is_current()
    assert await world.pages() == "/elsewhere/"


async def test_offline__the_last_good_one__and_never_seen_is_no_404(world: World) -> None:
    world.protocol.upstream.fresh = 0.0
    with pytest.raises(OrchardError) as caught:
        await world.pages(world.next_process(offline=True))
    assert caught.value.code == "offline"
    await world.pages()
    asked = world.asked()
    assert await world.pages(world.next_process(offline=True)) == "/pages/"
    assert world.asked() == asked


async def test_lost_from_the_store__fetched_whole(world: World) -> None:
    await world.pages()
    row = (await world.stores.database.fetch("SELECT identity, document_key FROM index_documents"))[0]
    await world.stores.bare_objects.delete(row["document_key"])
    assert await world.pages(world.next_process()) == "/pages/"
    assert "if-none-match" not in world.upstream.seen(ABOUT)[1].headers
    assert await world.stores.bare_objects.stat(row["document_key"]) is not None


async def test_row_damaged__fetched_whole_and_the_row_is_whole_again(world: World) -> None:
    await world.pages()
    await world.stores.database.execute("UPDATE index_documents SET document_key = 'nonsense'")
    assert await world.pages(world.next_process()) == "/pages/"
    assert await world.pages(world.next_process()) == "/pages/"
    assert world.asked() == 2


@pytest.mark.parametrize("ahead_seconds", [60, 599, 1_000, 9_000_000_000_000])
async def test_row_of_a_generation_from_the_future__does_not_keep_out_what_is_said_now(
    world: World, ahead_seconds: int
) -> None:
    await world.pages()
    far = int((clock.now() + ahead_seconds) * 1_000_000)
    await world.stores.database.execute(
        "UPDATE index_documents SET generation = $1, fetched_at = now() + interval '1 day'", far
    )
    world.tell("/elsewhere/")
    assert await world.pages(world.next_process()) == "/elsewhere/"
    assert await world.pages(world.next_process()) == "/elsewhere/"
    assert world.asked() == 2  # the row is that of the second


async def test_another_address_of_the_source__what_was_said_at_the_old_one_does_not_count(
    world: World,
) -> None:
    await world.pages()
    world.source = msgspec.structs.replace(world.source, url=f"{world.upstream.url}/other/")
    with pytest.raises(OrchardError, match="nothing at the address"):
        await world.pages()


async def test_source_that_does_not_say__the_next_one_is_not_asked(world: World) -> None:
    """Its document's 404 is no 404 of a project: that would be the confusion of names."""
    other = UpstreamSource(8, "pypi", "other", f"{world.upstream.url}/other/")
    world.upstream.fault(ABOUT, Fault(status=404, body=b""))
    world.upstream.put("/other/about", f"pages {world.upstream.url}/other-pages/".encode(), "text/plain")
    with pytest.raises(OrchardError) as caught:
        await world.process.upstreams.ask_index(world.protocol, "simple/demo", [world.source, other])
    assert caught.value.code == "upstream_unavailable"
    assert {each.path for each in world.upstream.seen()} == {ABOUT}


@pytest.mark.parametrize(
    "address", ["http://192.168.77.7", "ftp://files.example.com", "http://169.254.169.254"]
)
async def test_address_that_it_names__refused_at_the_request_for_it(world: World, address: str) -> None:
    world.tell("/pages/", address)
    assert await world.pages() == f"{address}/pages/"
    with pytest.raises(UpstreamBlocked):
        await world.process.upstreams.ask_index(world.protocol, "simple/demo", [world.source])


async def test_index__asked_where_the_document_says_and_read_with_it(world: World) -> None:
    world.upstream.put("/pages/simple/demo", b"a page")
    answer = await world.process.upstreams.ask_index(world.protocol, "simple/demo", [world.source])
    assert answer is not None
    assert answer.response.body == b"a page"
    assert answer.source.document == {"pages": f"{world.upstream.url}/pages/"}
