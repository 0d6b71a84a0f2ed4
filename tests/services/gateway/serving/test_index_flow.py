"""The policy of `serve_index`, over ports in memory."""

from __future__ import annotations

import asyncio
import hashlib

import msgspec
import pytest

from services.gateway.serving.index_flow import serve_index
from services.gateway.serving.index_reply import variants_of
from services.gateway.serving.ports import Reply
from shared.errors.passing import CacheUnavailable, DeadlineExceeded, UpstreamUnavailable
from shared.http.conditions import Conditions
from shared.protocols.resource import Resource
from shared.queue.events import Event
from shared.queue.jobs import AnyJob, FetchIndex, RenderIndex
from shared.settings import Settings
from tests.support.ports import MemoryBody, MemoryWorld

PAGE = Resource(
    protocol="pypi",
    kind="index",
    identity="simple/a",
    project="a",
    representation="json",
    content_type="x/json",
)
DATA = bytes(range(256)) * 40
DIGEST = hashlib.sha256(DATA).hexdigest()
FILE = Resource(
    protocol="pypi", kind="artifact", identity=f"a/{DIGEST}/a-1.whl", project="a",
    file_id=DIGEST, filename="a-1.whl", sha256=DIGEST,
)  # fmt: skip
PLAIN = Conditions()
V = "json.identity"


def headers(reply: Reply) -> dict[bytes, bytes]:
    return dict(reply.headers)


@pytest.fixture
def world() -> MemoryWorld:
    return MemoryWorld()


# --- index --------------------------------------------------------------------------------------


async def test_index__fresh__is_a_hit_with_the_remaining_life(world: MemoryWorld) -> None:
    world.index.put("simple/a", {V: b"page"}, fresh_until=world.clock.now() + 120.5)
    reply = await serve_index(PAGE, PLAIN, world.ports)
    assert (reply.status, reply.cache, reply.body) == (200, "HIT", b"page")
    assert headers(reply)[b"cache-control"] == b"max-age=120"
    assert headers(reply)[b"content-type"] == b"x/json"
    assert world.misses.waited == []


async def test_index__stamped_by_a_clock_that_was_ahead__is_not_called_fresh(world: MemoryWorld) -> None:
    world.index.put(PAGE.identity, {V: b"page"}, fresh_until=world.clock.seconds + 300 + 60)
    reply = await serve_index(PAGE, PLAIN, world.ports)
    assert reply.cache == "STALE"


async def test_index__max_age_0__is_ignored(world: MemoryWorld) -> None:
    world.index.put("simple/a", {V: b"page"}, fresh_until=world.clock.now() + 120)
    assert (await serve_index(PAGE, Conditions(no_cache=False), world.ports)).cache == "HIT"


@pytest.mark.parametrize(
    ("given", "status"), [(b"*", 304), (b'W/"no", %s', 304), (b"W/%s", 304), (b'"no"', 200), (b"", 200)]
)
async def test_index__if_none_match__is_compared_weakly(
    world: MemoryWorld, given: bytes, status: int
) -> None:
    head = world.index.put("simple/a", {V: b"page"}, fresh_until=world.clock.now() + 120)
    etag = head.variants[V].etag.encode()
    value = given.replace(b"%s", etag)
    reply = await serve_index(PAGE, Conditions(if_none_match=value), world.ports)
    assert reply.status == status
    assert headers(reply)[b"etag"] == etag
    assert {b"cache-control", b"vary"} <= headers(reply).keys()


async def test_index__head_request__has_the_length_and_no_body(world: MemoryWorld) -> None:
    world.index.put("simple/a", {V: b"page"}, fresh_until=world.clock.now() + 120)
    reply = await serve_index(PAGE, Conditions(head=True), world.ports)
    assert (reply.status, reply.body) == (200, None)
    assert headers(reply)[b"content-length"] == b"4"


DATE = "Wed, 01 May 2024 10:00:00 GMT"


@pytest.mark.parametrize(
    ("told", "status"),
    [(DATE, 304), ("yesterday", 200), ("", 200)],
)
async def test_index__source_s_date__told_and_matched_unless_it_is_none(
    world: MemoryWorld, told: str, status: int
) -> None:
    head = world.index.put("simple/a", {V: b"page"}, fresh_until=world.clock.now() + 120)
    world.index.heads["simple/a"] = msgspec.structs.replace(head, modified=told)
    for since in {told, DATE}:
        reply = await serve_index(PAGE, Conditions(if_modified_since=since.encode()), world.ports)
        assert reply.status == status
        assert headers(reply).get(b"last-modified") == (told.encode() if status == 304 else None)


async def test_index__expired_and_nobody_refreshes__is_stale_with_a_short_life(world: MemoryWorld) -> None:
    world.index.put("simple/a", {V: b"page"}, fresh_until=world.clock.now() - 1)
    before = world.clock.now()
    reply = await serve_index(PAGE, PLAIN, world.ports)
    assert (reply.status, reply.cache, reply.body) == (200, "STALE", b"page")
    assert headers(reply)[b"cache-control"] == b"max-age=5"
    assert world.clock.now() - before == pytest.approx(world.ports.settings.stale_wait)
    job = world.misses.waited[0]
    assert isinstance(job, FetchIndex)
    assert job.background


async def test_index__expired_and_refreshed__is_revalidated(world: MemoryWorld) -> None:
    world.index.put("simple/a", {V: b"old"}, fresh_until=world.clock.now() - 1)

    async def run(job: AnyJob) -> Event:
        world.index.put("simple/a", {V: b"new"}, fresh_until=world.clock.now() + 300, generation=2)
        return Event(job.id, "done", 2)

    world.misses.run = run
    reply = await serve_index(PAGE, PLAIN, world.ports)
    assert (reply.cache, reply.body) == ("REVALIDATED", b"new")


async def test_index__expired_and_now_truly_404__is_404(world: MemoryWorld) -> None:
    world.index.put("simple/a", {V: b"old"}, fresh_until=world.clock.now() - 1)

    async def run(job: AnyJob) -> Event:
        world.index.put("simple/a", {}, fresh_until=world.clock.now() + 60, generation=2, status=404)
        return Event(job.id, "done", 2)

    world.misses.run = run
    reply = await serve_index(PAGE, PLAIN, world.ports)
    assert reply.status == 404
    assert reply.error is not None


async def test_index__failing__is_stale_at_once_and_retried_only_when_due(world: MemoryWorld) -> None:
    now = world.clock.now()
    world.index.put("simple/a", {V: b"page"}, fresh_until=now - 1, failing=True, retry_at=now + 5)
    assert (await serve_index(PAGE, PLAIN, world.ports)).cache == "STALE"
    assert world.misses.started == []
    world.clock.seconds += 6
    assert (await serve_index(PAGE, PLAIN, world.ports)).cache == "STALE"
    assert [type(job) for job in world.misses.started] == [FetchIndex]
    assert world.misses.waited == []


async def test_index__breaker_open__is_stale_at_once(world: MemoryWorld) -> None:
    world.index.put("simple/a", {V: b"page"}, fresh_until=world.clock.now() - 1)
    world.index.down_sources.add(1)
    assert (await serve_index(PAGE, PLAIN, world.ports)).cache == "STALE"
    assert world.misses.waited == []


async def test_index__past_the_stale_limit__is_not_served() -> None:
    world = MemoryWorld(Settings(stale_limit=60))
    world.index.put("simple/a", {V: b"page"}, fresh_until=world.clock.now() - 61)
    with pytest.raises(DeadlineExceeded):
        await serve_index(PAGE, PLAIN, world.ports)


@pytest.mark.parametrize(("own", "served"), [(-1, False), (30, False), (90, True), (0, True)])
async def test_index__own_stale_limit__counts_instead_of_the_setting(own: int, served: bool) -> None:
    world = MemoryWorld(Settings(stale_limit=60))
    world.index.put("simple/a", {V: b"page"}, fresh_until=world.clock.now() - 70)
    head = world.index.heads["simple/a"]
    world.index.heads["simple/a"] = msgspec.structs.replace(head, stale_seconds=own)
    world.index.down_sources.add(1)
    if served:
        assert (await serve_index(PAGE, PLAIN, world.ports)).cache == "STALE"
    else:
        with pytest.raises(DeadlineExceeded):
            await serve_index(PAGE, PLAIN, world.ports)


async def test_index__cache_cannot_tell_of_changes__is_stale(world: MemoryWorld) -> None:
    world.index.put("simple/a", {V: b"page"}, fresh_until=world.clock.now() + 300)
    world.index.verified = False
    assert (await serve_index(PAGE, PLAIN, world.ports)).cache == "STALE"
    assert world.misses.waited == []


async def test_index__from_older_sources__is_never_served(world: MemoryWorld) -> None:
    world.index.put("simple/a", {V: b"page"}, fresh_until=world.clock.now() + 300, revision=3)
    world.index.revision = 4

    async def run(job: AnyJob) -> Event:
        return Event(job.id, "failed", 2, error=UpstreamUnavailable("away").to_value())

    world.misses.run = run
    with pytest.raises(UpstreamUnavailable):
        await serve_index(PAGE, PLAIN, world.ports)


async def test_index__never_seen_and_failing__is_the_error(world: MemoryWorld) -> None:
    async def run(job: AnyJob) -> Event:
        return Event(job.id, "failed", 2, error=UpstreamUnavailable("away", retry_after_seconds=7).to_value())

    world.misses.run = run
    with pytest.raises(UpstreamUnavailable) as caught:
        await serve_index(PAGE, PLAIN, world.ports)
    assert (caught.value.status, caught.value.retry_after_seconds) == (503, 7)


async def test_index__last_good_copy_restored_by_a_failed_fetch__is_stale(world: MemoryWorld) -> None:
    async def run(job: AnyJob) -> Event:
        world.index.put("simple/a", {V: b"restored"}, fresh_until=world.clock.now() - 9, failing=True)
        return Event(job.id, "done", 2)

    world.misses.run = run
    reply = await serve_index(PAGE, PLAIN, world.ports)
    assert (reply.cache, reply.body) == ("STALE", b"restored")


async def test_index__negative__is_404_within_its_life_only(world: MemoryWorld) -> None:
    world.index.put("simple/a", {}, fresh_until=world.clock.now() + 30, status=404)
    reply = await serve_index(PAGE, PLAIN, world.ports)
    assert (reply.status, reply.cache, headers(reply)[b"cache-control"]) == (404, "NEGATIVE", b"max-age=30")
    world.clock.seconds += 31
    with pytest.raises(DeadlineExceeded):
        await serve_index(PAGE, PLAIN, world.ports)
    assert len(world.misses.waited) == 1


async def test_index__no_cache__asks_upstream_once_per_interval(world: MemoryWorld) -> None:
    world.index.put("simple/a", {V: b"old"}, fresh_until=world.clock.now() + 300)

    async def run(job: AnyJob) -> Event:
        world.index.put("simple/a", {V: b"new"}, fresh_until=world.clock.now() + 300, generation=2)
        return Event(job.id, "done", 2)

    world.misses.run = run
    words = [(await serve_index(PAGE, Conditions(no_cache=True), world.ports)).cache for _ in range(3)]
    assert words == ["REVALIDATED", "HIT", "HIT"]
    deaf = msgspec.structs.replace(PAGE, honours_no_cache=False, identity="simple/b")
    world.index.put("simple/b", {V: b"page"}, fresh_until=world.clock.now() + 300)
    assert (await serve_index(deaf, Conditions(no_cache=True), world.ports)).cache == "HIT"


async def test_index__variant_missing__is_rendered_not_fetched(world: MemoryWorld) -> None:
    world.index.put("simple/a", {"html.identity": b"<p>"}, fresh_until=world.clock.now() + 300)

    async def run(job: AnyJob) -> Event:
        world.index.put("simple/a", {V: b"page"}, fresh_until=world.clock.now() + 300)
        return Event(job.id, "done", 2)

    world.misses.run = run
    reply = await serve_index(PAGE, PLAIN, world.ports)
    assert reply.body == b"page"
    assert [type(job) for job in world.misses.waited] == [RenderIndex]


async def test_index__large_body__comes_from_the_object_store(world: MemoryWorld) -> None:
    world.index.put(
        "simple/a", {V: b"large"}, fresh_until=world.clock.now() + 300, object_keys={V: "variants/1"}
    )
    world.objects.objects["variants/1"] = b"large"
    reply = await serve_index(PAGE, PLAIN, world.ports)
    assert isinstance(reply.body, MemoryBody)
    assert (reply.cache, reply.body.data) == ("HIT", b"large")


async def test_index__what_a_joined_job_wrote_is_lost__asked_for_once_more(world: MemoryWorld) -> None:
    runs = 0

    async def run(job: AnyJob) -> Event:
        nonlocal runs
        runs += 1
        if runs == 2:
            world.index.put(PAGE.identity, {V: b"page"}, fresh_until=world.clock.seconds + 60)
        return Event(job.id, "done", runs)

    world.misses.run = run
    reply = await serve_index(PAGE, PLAIN, world.ports)
    assert (runs, reply.status, reply.cache) == (2, 200, "MISS")


async def test_index__fetched_but_lost_again__is_a_passing_error(world: MemoryWorld) -> None:
    async def run(job: AnyJob) -> Event:
        return Event(job.id, "done", 2)

    world.misses.run = run
    with pytest.raises(CacheUnavailable):
        await serve_index(PAGE, PLAIN, world.ports)


def test_variants_of__depend_on_the_base_url_only_where_bodies_do() -> None:
    asked = Conditions(codings=("zstd", "gzip"), base_url="http://a")
    assert variants_of(PAGE, asked) == ("json.zstd", "json.gzip")
    bound = msgspec.structs.replace(PAGE, per_base_url=True)
    mark = hashlib.sha256(b"http://a").hexdigest()[:16]
    assert variants_of(bound, asked) == (f"json.zstd.{mark}", f"json.gzip.{mark}")


async def test_index__another_acceptable_coding_is_there__is_answered_with_it_and_nothing_is_made(
    world: MemoryWorld,
) -> None:
    world.index.put("simple/a", {"json.gzip": b"gz", V: b"page"}, fresh_until=world.clock.now() + 300)
    reply = await serve_index(PAGE, Conditions(codings=("zstd", "gzip")), world.ports)
    assert (reply.cache, reply.body, headers(reply)[b"content-encoding"]) == ("HIT", b"gz", b"gzip")
    assert world.misses.waited == []


async def test_index__missing__its_job_is_told_which_body_is_waited_for(world: MemoryWorld) -> None:
    async def run(job: AnyJob) -> Event:
        world.index.put("simple/a", {"json.zstd": b"zs"}, fresh_until=world.clock.now() + 300)
        return Event(job.id, "done", 2)

    world.misses.run = run
    reply = await serve_index(PAGE, Conditions(codings=("zstd", "gzip")), world.ports)
    assert (reply.cache, headers(reply)[b"content-encoding"]) == ("MISS", b"zstd")
    [job] = world.misses.waited
    assert isinstance(job, FetchIndex) and job.variant == "json.zstd"


async def test_index__replaced_while_its_body_was_rendered__is_rendered_again(world: MemoryWorld) -> None:
    world.index.put("simple/a", {"html.gzip": b"<p>"}, fresh_until=world.clock.now() + 300)
    runs = 0

    async def run(job: AnyJob) -> Event:
        nonlocal runs
        runs += 1
        bodies = {"html.gzip": b"<q>"} if runs == 1 else {V: b"page"}
        world.index.put("simple/a", bodies, fresh_until=world.clock.now() + 300, generation=runs)
        return Event(job.id, "done", runs)

    world.misses.run = run
    assert (await serve_index(PAGE, PLAIN, world.ports)).body == b"page"
    assert [isinstance(job, RenderIndex) and job.variant for job in world.misses.waited] == [V, V]


async def test_index__sources_changed_while_the_upstream_failed__old_page_is_not_served() -> None:
    world = MemoryWorld()
    world.index.put(PAGE.identity, {V: b"old"}, fresh_until=world.clock.seconds - 1, revision=1)
    world.index.revision = 1

    async def fail(job: AnyJob) -> Event:
        world.index.revision = 2
        raise DeadlineExceeded("the upstream was silent")

    world.misses.run = fail
    with pytest.raises(DeadlineExceeded):
        await serve_index(PAGE, PLAIN, world.ports)


async def test_index__not_ready_in_time__named_as_people_do() -> None:
    world = MemoryWorld(Settings(request_timeout=0.01))

    async def run(job: AnyJob) -> Event:
        return await asyncio.Future()

    world.misses.run = run
    with pytest.raises(DeadlineExceeded, match="the index of a was not ready within"):
        await serve_index(PAGE, PLAIN, world.ports)
