"""Job `fetch_index`: what is asked, what is written, and what goes on being served when it fails."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from services.fetcher.sources import breakers
from shared.access.repository import write_rules
from shared.errors import Offline, OrchardError, UpstreamInvalid, UpstreamRefused
from shared.errors.passing import UpstreamRateLimited, UpstreamUnavailable
from shared.models import IndexHead
from shared.policy.rules import AgeRule, Rules
from shared.queue.jobs import FetchIndex
from shared.redis import clock
from tests.services.fetcher.conftest import WHEEL, Fetcher, running_fetcher, sha256
from tests.support.breakers import read_breaker
from tests.support.upstream import Fault, Reply, Upstream

PAGE = "/simple/demo/"


async def test_fetch_index__first_time__document_row_pin_head_and_bodies(fetcher: Fetcher) -> None:
    content = b"PK\x03\x04 not much of a wheel"
    fetcher.upstream.add_project("demo", {WHEEL: content})
    head = await fetcher.index()
    assert head.status == 200 and not head.failing
    assert 0.89 * 300 < head.fresh_until - time.time() < 1.11 * 300
    assert set(head.variants) == {"json.identity", "json.gzip", "html.identity", "html.gzip"}
    body = await fetcher.page()
    assert json.loads(body)["files"][0]["url"] == f"../../files/demo/{sha256(content)}/{WHEEL}"
    assert gzip.decompress(await fetcher.page(variant="json.gzip")) == body
    row = await fetcher.artifacts.stored_document("pypi", "simple/demo")
    assert row is not None and row.document_key == head.document_key
    assert await fetcher.objects.stat(head.document_key) is not None
    assert await fetcher.artifacts.pinned("pypi", ["demo"]) == {row.source_id}


async def test_fetch_index__again__asks_conditionally_and_writes_the_head_alone(fetcher: Fetcher) -> None:
    fetcher.upstream.add_project("demo", {WHEEL: b"PK\x03\x04"})
    first = await fetcher.index()
    second = await fetcher.index()
    assert fetcher.upstream.seen(PAGE)[1].headers["if-none-match"] == first.upstream_etag
    assert second.generation > first.generation
    assert second.bodies_generation == first.bodies_generation
    assert await fetcher.page()


async def test_fetch_index__304_after_redis_lost_the_page__rendered_from_the_document(
    fetcher: Fetcher,
) -> None:
    fetcher.upstream.add_project("demo", {WHEEL: b"PK\x03\x04"})
    await fetcher.index()
    body = await fetcher.page()
    await fetcher.cache_redis.raw.flushall()
    await fetcher.index()
    assert "if-none-match" in fetcher.upstream.seen(PAGE)[1].headers
    assert await fetcher.page() == body


async def test_fetch_index__304_for_a_lost_document__asked_without_conditions(fetcher: Fetcher) -> None:
    fetcher.upstream.add_project("demo", {WHEEL: b"PK\x03\x04"})
    head = await fetcher.index()
    await fetcher.cache_redis.raw.flushall()
    await fetcher.objects.delete(head.document_key)
    # another document in between, so that the decoded one is not simply still in memory
    fetcher.upstream.add_project("demo", {WHEEL: b"PK\x03\x04"})
    from services.fetcher.indexes import documents

    assert documents.MAX_DECODED_BYTES > 0
    renewed = await fetcher.index()
    assert renewed.status == 200
    assert await fetcher.objects.stat(renewed.document_key) is not None


async def test_fetch_index__page_of_a_clock_that_was_ahead__is_made_anew_though_nothing_changed(
    upstream: Upstream, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was old enough by that clock is too young, and was shown."""
    path = upstream.add_project("demo", {WHEEL: b"PK\x03\x04"})
    document = json.loads(upstream.reply(path).body)
    document["files"][0]["upload-time"] = datetime.fromtimestamp(time.time() - 3600, UTC).isoformat()
    upstream.put(path, replace(upstream.reply(path), body=json.dumps(document).encode()))
    await write_rules(environ["ORCHARD_DATABASE_URL"], Rules({"": AgeRule(7 * 86_400.0, 1.0)}), 1.0)
    async with running_fetcher(upstream, environ) as fetcher:
        with monkeypatch.context() as ahead:
            ahead.setattr(clock, "now", lambda: time.time() + 30 * 86_400)
            await fetcher.index()
            assert len(json.loads(await fetcher.page())["files"]) == 1
        await fetcher.index()
        assert upstream.seen(PAGE)[-1].headers["if-none-match"]
        assert json.loads(await fetcher.page())["files"] == []


async def test_fetch_index__true_404__short_negative_entry(fetcher: Fetcher) -> None:
    head = await fetcher.index("absent")
    assert head.status == 404
    assert head.fresh_until - head.fetched_at <= 60


async def test_fetch_index__404_after_it_was_served__negative_but_the_document_is_kept(
    fetcher: Fetcher,
) -> None:
    fetcher.upstream.put("/simple/", b"{}")  # the upstream is well: its 404s are believed
    fetcher.upstream.add_project("demo", {WHEEL: b"PK\x03\x04"})
    await fetcher.index()
    fetcher.upstream.remove(PAGE)
    assert (await fetcher.index()).status == 404
    assert await fetcher.artifacts.stored_document("pypi", "simple/demo") is not None


async def _gone(fetcher: Fetcher) -> None:
    """The upstream told the page once, and then a true 404, of which the cache knows nothing any more."""
    fetcher.upstream.add_project("demo", {WHEEL: b"PK\x03\x04"})
    await fetcher.index()
    fetcher.upstream.remove(PAGE)
    assert (await fetcher.index()).status == 404
    await fetcher.cache_redis.raw.delete(*await fetcher.cache_redis.raw.keys("orchard:package_index:*"))


async def test_fetch_index__outage_after_a_true_404__the_old_page_does_not_come_back(
    fetcher: Fetcher,
) -> None:
    fetcher.upstream.put("/simple/", b"{}")  # the upstream is well: its 404s are believed
    await _gone(fetcher)
    fetcher.upstream.fault(PAGE, Fault(status=500))
    for _ in range(2):
        head = await fetcher.index()
        assert (head.status, head.document_key) == (404, "")
        assert 0 < head.fresh_until - time.time() < 10


async def test_fetch_index__back_after_a_true_404__served_again_and_stale_in_an_outage(
    fetcher: Fetcher,
) -> None:
    fetcher.upstream.put("/simple/", b"{}")  # the upstream is well: its 404s are believed
    await _gone(fetcher)
    fetcher.upstream.add_project("demo", {WHEEL: b"PK\x03\x04"})  # the very same page
    assert (await fetcher.index()).status == 200
    fetcher.upstream.fault(PAGE, Fault(status=500))
    await fetcher.cache_redis.raw.delete(*await fetcher.cache_redis.raw.keys("orchard:package_index:*"))
    head = await fetcher.index()
    assert head.status == 200 and head.failing


async def test_fetch_index__offline_after_a_true_404__the_old_page_does_not_come_back(
    upstream: Upstream, environ: dict[str, str]
) -> None:
    upstream.put("/simple/", b"{}")  # the upstream is well: its 404s are believed
    async with running_fetcher(upstream, environ) as fetcher:
        await _gone(fetcher)
        await fetcher.cache_redis.raw.flushall()
    async with running_fetcher(upstream, {**environ, "ORCHARD_OFFLINE": "true"}) as offline:
        assert (await offline.index()).status == 404


async def test_fetch_index__offline_and_never_seen__named_as_people_do(
    upstream: Upstream, environ: dict[str, str]
) -> None:
    async with running_fetcher(upstream, {**environ, "ORCHARD_OFFLINE": "true"}) as offline:
        with pytest.raises(Offline, match="set and demo was never cached"):
            await offline.index()


async def test_render_index__after_a_true_404__the_old_page_does_not_come_back(fetcher: Fetcher) -> None:
    fetcher.upstream.put("/simple/", b"{}")  # the upstream is well: its 404s are believed
    await _gone(fetcher)
    await fetcher.render()
    assert await fetcher.head() is None


FAULTS = {
    "500": (Fault(status=500), UpstreamUnavailable),
    "503": (Fault(status=503), UpstreamUnavailable),
    "401": (Fault(status=401), UpstreamRefused),
    "403": (Fault(status=403), UpstreamRefused),
    "429": (Fault(status=429, headers={"retry-after": "3"}), UpstreamRateLimited),
    "cut": (Fault(cut_at=20), UpstreamUnavailable),
    "reset": (Fault(cut_at=20, reset=True), UpstreamUnavailable),
    "login page": (
        Fault(body=b"<html><form>log in</form>", content_type="text/html"),
        UpstreamInvalid,
    ),
    "empty": (Fault(body=b""), UpstreamInvalid),
    "not json": (Fault(body=b"{"), UpstreamInvalid),
    "206": (Fault(not_asked_206=True), UpstreamInvalid),
    "redirect loop": (Fault(redirect=PAGE), UpstreamInvalid),
    "long header": (Fault(headers={"x-long": "a" * 200_000}), UpstreamInvalid),
    "many headers": (Fault(headers={f"x-{i}": "1" for i in range(5_000)}), UpstreamInvalid),
    "bad coding": (Fault(body=b"\x1f\x8b\x08cut", headers={"content-encoding": "gzip"}), UpstreamInvalid),
    "three codings": (Fault(headers={"content-encoding": "gzip, gzip, gzip"}), UpstreamInvalid),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_fetch_index__fault_without_good_copy__told_as_what_it_is(fetcher: Fetcher, name: str) -> None:
    fault, expected = FAULTS[name]
    fetcher.upstream.add_project("demo", {WHEEL: b"PK\x03\x04"})
    fetcher.upstream.fault(PAGE, fault)
    with pytest.raises(expected):
        await fetcher.index()
    assert await fetcher.head() is None
    assert await fetcher.artifacts.stored_document("pypi", "simple/demo") is None


async def test_fetch_index__304_though_nothing_was_conditional__is_no_answer(fetcher: Fetcher) -> None:
    fetcher.upstream.add_project("demo", {WHEEL: b"PK\x03\x04"})
    fetcher.upstream.fault(PAGE, Fault(status=304, body=b""))
    with pytest.raises(UpstreamInvalid):
        await fetcher.index()
    assert await fetcher.head() is None


@pytest.mark.parametrize("name", FAULTS)
async def test_fetch_index__fault_with_good_copy__it_stays_and_is_marked(fetcher: Fetcher, name: str) -> None:
    fetcher.upstream.add_project("demo", {WHEEL: b"PK\x03\x04"})
    good = await fetcher.index()
    body = await fetcher.page()
    fetcher.upstream.add_project("demo", {"demo-2.0-py3-none-any.whl": b"PK\x03\x04"})  # no 304
    fetcher.upstream.fault(PAGE, FAULTS[name][0])
    head = await fetcher.index()
    assert head.failing and head.retry_at > time.time()
    assert head.document_key == good.document_key
    assert head.fresh_until == good.fresh_until
    assert await fetcher.page() == body


async def test_fetch_index__fault_and_redis_lost_all__last_good_copy_found_again(
    fetcher: Fetcher,
) -> None:
    fetcher.upstream.add_project("demo", {WHEEL: b"PK\x03\x04"})
    await fetcher.index()
    body = await fetcher.page()
    await fetcher.cache_redis.raw.delete(*await fetcher.cache_redis.raw.keys("orchard:package_index:*"))
    fetcher.upstream.fault(PAGE, Fault(status=500))
    head = await fetcher.index()
    assert head.failing
    assert await fetcher.page() == body


@pytest.mark.parametrize("kept", ["good", "gone", "too old"])
async def test_fetch_index__redis_lost_all_and_upstream_slow__only_a_good_page_is_shown_meanwhile(
    upstream: Upstream, environ: dict[str, str], kept: str
) -> None:
    environ = {**environ, "ORCHARD_STALE_WAIT": "0.05", "ORCHARD_STALE_LIMIT": "100"}
    async with running_fetcher(upstream, environ) as fetcher:
        upstream.add_project("demo", {WHEEL: b"PK\x03\x04"})
        good = await fetcher.index()
        if kept == "gone":
            await fetcher.database.execute("UPDATE index_documents SET gone_at = now()")
        elif kept == "too old":
            await fetcher.database.execute(
                "UPDATE index_documents SET fetched_at = now() - interval '1 hour'"
            )
        await fetcher.cache_redis.raw.delete(*await fetcher.cache_redis.raw.keys("orchard:package_index:*"))
        upstream.add_project("demo", {"demo-2.0-py3-none-any.whl": b"PK\x03\x04"})
        upstream.fault(PAGE, Fault(delay_seconds=1.5), times=1)
        ended = asyncio.create_task(fetcher.ended(FetchIndex("pypi", "simple/demo")))
        if kept == "good":
            async with asyncio.timeout(30):
                while (shown := await fetcher.head()) is None:
                    await asyncio.sleep(0.01)
            assert (shown.document_key, shown.failing) == (good.document_key, False)
            assert shown.fresh_until == shown.fetched_at < time.time()
            await ended
        else:
            while not ended.done():
                found = await fetcher.head()
                assert found is None or found.document_key != good.document_key
                await asyncio.sleep(0.02)
        now = await fetcher.head()
        assert now is not None and now.document_key != good.document_key and now.fresh_until > time.time()


async def test_fetch_index__upstream_well_again__failing_mark_goes(fetcher: Fetcher) -> None:
    fetcher.upstream.add_project("demo", {WHEEL: b"PK\x03\x04"})
    await fetcher.index()
    fetcher.upstream.fault(PAGE, Fault(status=401), times=1)
    assert (await fetcher.index()).failing
    assert not (await fetcher.index()).failing


async def test_fetch_index__passing_5xx__tried_again_at_once(fetcher: Fetcher) -> None:
    fetcher.upstream.add_project("demo", {WHEEL: b"PK\x03\x04"})
    fetcher.upstream.fault(PAGE, Fault(status=502), times=2)
    assert (await fetcher.index()).status == 200
    assert fetcher.upstream.count(PAGE) == 3


async def test_fetch_index__429_of_one_page__that_one_waits_and_no_other(fetcher: Fetcher) -> None:
    fetcher.upstream.add_project("demo", {WHEEL: b"PK\x03\x04"})
    fetcher.upstream.add_project("other", {"other-1-py3-none-any.whl": b"PK\x03\x04"})
    fetcher.upstream.fault(PAGE, Fault(status=429, headers={"retry-after": "30"}))
    for _ in range(2):
        with pytest.raises(UpstreamRateLimited) as caught:
            await fetcher.index()
        assert 25 <= caught.value.retry_after_seconds <= 30
    assert fetcher.upstream.count(PAGE) == 1
    assert (await fetcher.index("other")).status == 200


async def test_fetch_index__429_of_several_pages__that_host_s_pages_wait_and_its_files_do_not(
    fetcher: Fetcher,
) -> None:
    content = b"PK\x03\x04 demo"
    fetcher.upstream.add_project("demo", {WHEEL: content})
    await fetcher.index()
    for number in range(breakers.ADDRESSES_TO_OPEN):
        fetcher.upstream.add_project(f"n{number}", {f"n{number}-1-py3-none-any.whl": b"PK\x03\x04"})
        fetcher.upstream.fault(f"/simple/n{number}/", Fault(status=429, headers={"retry-after": "30"}))
        with pytest.raises(UpstreamRateLimited):
            await fetcher.index(f"n{number}")
    fetcher.upstream.add_project("other", {"other-1-py3-none-any.whl": b"PK\x03\x04"})
    with pytest.raises(UpstreamRateLimited) as caught:
        await fetcher.index("other")
    assert 25 <= caught.value.retry_after_seconds <= 30
    assert not fetcher.upstream.count("/simple/other/")
    breaker = await read_breaker(fetcher.cache, "pypi", 1)
    assert breaker is not None and breaker.retry_after_seconds == 30
    await fetcher.artifact(content)


async def test_fetch_index__one_page_always_500__twelve_cold_ones_beside_it_are_all_found(
    fetcher: Fetcher,
) -> None:
    fetcher.upstream.fault("/simple/broken/", Fault(status=500))
    for number in range(12):
        fetcher.upstream.add_project(f"n{number}", {f"n{number}-1-py3-none-any.whl": b"PK\x03\x04"})
        broken, found = await asyncio.gather(
            fetcher.index("broken"), fetcher.index(f"n{number}"), return_exceptions=True
        )
        assert isinstance(broken, UpstreamUnavailable)
        assert isinstance(found, IndexHead) and found.status == 200


async def test_fetch_index__upstream_away_then_back__found_within_a_pause_and_a_probe(
    fetcher: Fetcher,
) -> None:
    fetcher.upstream.add_project("demo", {WHEEL: b"PK\x03\x04"})
    fetcher.upstream.fault("*", Fault(status=500))
    for number in range(breakers.ADDRESSES_TO_OPEN + 1):
        with pytest.raises(UpstreamUnavailable):
            await fetcher.index(f"n{number}")
    asked = fetcher.upstream.count()
    with pytest.raises(UpstreamUnavailable):
        await fetcher.index()
    assert fetcher.upstream.count() == asked
    breaker = await read_breaker(fetcher.cache, "pypi", 1)
    assert breaker is not None and 0 < breaker.left_seconds <= breakers.MAX_PAUSE_SECONDS
    fetcher.upstream.heal()
    while (await read_breaker(fetcher.cache, "pypi", 1) or breaker).left_seconds:
        await asyncio.sleep(0.02)
    assert (await fetcher.index()).status == 200
    assert await read_breaker(fetcher.cache, "pypi", 1) is None


async def test_fetch_index__gzip_from_upstream__decoded(fetcher: Fetcher) -> None:
    fetcher.upstream.add_project("demo", {WHEEL: b"PK\x03\x04"})
    plain = fetcher.upstream._replies[PAGE]
    packed = Reply(gzip.compress(plain.body), plain.content_type, headers={"content-encoding": "gzip"})
    fetcher.upstream.put(PAGE, packed)
    assert (await fetcher.index()).status == 200
    assert b"files/demo" in await fetcher.page()


async def test_fetch_index__html_only__parsed(fetcher: Fetcher) -> None:
    fetcher.upstream.add_project("demo", {WHEEL: b"PK\x03\x04"}, html=True)
    await fetcher.index()
    assert json.loads(await fetcher.page())["files"][0]["filename"] == WHEEL


async def test_fetch_index__large_page__bodies_in_the_object_store(fetcher: Fetcher) -> None:
    files = {f"demo-{i}.0-py3-none-any.whl": b"PK\x03\x04%d" % i for i in range(3_000)}
    fetcher.upstream.add_project("demo", files)
    head = await fetcher.index()
    info = head.variants["json.identity"]
    assert info.object_key.startswith("variants/")
    body = await fetcher.objects.read(info.object_key)
    assert len(body) == info.size_bytes and len(json.loads(body)["files"]) == 3_000
    for name, each in head.variants.items():
        assert bool(each.object_key) == (each.size_bytes > 256 * 1024), name


async def test_fetch_index__sealed_file_changed_upstream__event_and_the_first_stays(fetcher: Fetcher) -> None:
    first, second = b"PK\x03\x04first", b"PK\x03\x04second"
    fetcher.upstream.add_project("demo", {WHEEL: first})
    await fetcher.index()
    await fetcher.artifact(first)
    fetcher.upstream.add_project("demo", {WHEEL: second})
    await fetcher.index()
    entry = json.loads(await fetcher.page())["files"][0]
    assert entry["hashes"]["sha256"] == sha256(first)
    assert sha256(first) in entry["url"]
    assert await fetcher.events("upstream_mutated") == 1


async def test_fetch_index__upstream_stops_telling_hashes__urls_and_hashes_stay(fetcher: Fetcher) -> None:
    content = b"PK\x03\x04once told"
    fetcher.upstream.add_project("demo", {WHEEL: content})
    await fetcher.index()
    before = json.loads(await fetcher.page())
    fetcher.upstream.add_project("demo", {WHEEL: content}, hashes=())
    await fetcher.index()
    assert json.loads(await fetcher.page())["files"] == before["files"]
    assert (await fetcher.artifact(content)).sha256 == sha256(content)


async def test_render_index__after_redis_lost_all__bodies_without_asking_upstream(fetcher: Fetcher) -> None:
    fetcher.upstream.add_project("demo", {WHEEL: b"PK\x03\x04"})
    await fetcher.index()
    body = await fetcher.page()
    await fetcher.cache_redis.raw.flushall()
    await fetcher.render()
    assert await fetcher.page() == body
    assert fetcher.upstream.count(PAGE) == 1
    head = await fetcher.head()
    assert head is not None and head.fresh_until <= time.time()


async def test_render_index__never_seen__failed(fetcher: Fetcher) -> None:
    with pytest.raises(OrchardError):
        await fetcher.render("nothing")


async def test_fetch_index__legacy_json_of_one_version__its_own_document_with_our_addresses(
    fetcher: Fetcher,
) -> None:
    digest = sha256(b"PK\x03\x04")
    page = {
        "info": {"name": "demo", "version": "1.0"},
        "urls": [
            {
                "filename": WHEEL,
                "url": f"{fetcher.upstream.url}/files/demo/{WHEEL}",
                "digests": {"sha256": digest},
            }
        ],
        "vulnerabilities": [],
    }
    fetcher.upstream.put("/pypi/demo/1.0/json", Reply(json.dumps(page).encode(), "application/json"))
    base_url = "http://orchard.example.com/pypi"
    await fetcher.ended(FetchIndex("pypi", "json/demo/1.0", base_url=base_url))
    variant = "json.identity." + sha256(base_url.encode())[:16]
    read = await fetcher.cache.read_index("pypi", "json/demo/1.0", variant, direct=True)
    assert read.body is not None
    body = json.loads(bytes(read.body))
    assert body["urls"][0]["url"] == f"{base_url}/files/demo/{digest}/{WHEEL}"
    assert body["vulnerabilities"] == []
    assert fetcher.upstream.count("/pypi/demo/json") == 0
