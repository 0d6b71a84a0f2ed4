"""The cache service against a real Redis: expiry by category, fences, variants, invalidation."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from shared.cache.keys import Category, cache_key, facts_key, head_key, revision_key, variant_key
from shared.cache.service import CacheService
from shared.errors import InvalidData
from shared.models import FORMAT, BreakerState, FileName, IndexHead, StoredFile, VariantInfo
from shared.redis.client import RedisClient
from shared.settings import Settings
from tests.support.breakers import read_breaker
from tests.support.stores import RedisAddress

PAGE = ("pypi", "simple/flask")
JSON, HTML = "json.gzip", "html.identity"


@pytest_asyncio.fixture
async def redis(cache_redis: RedisAddress) -> AsyncIterator[RedisClient]:
    client = RedisClient(
        host=cache_redis.host, port=cache_redis.port, password=cache_redis.password, role="cache"
    )
    yield client
    await client.aclose()


@pytest.fixture
def cache(redis: RedisClient) -> CacheService:
    return CacheService.from_settings(redis, Settings())


def head_of(generation: int, *names: str, **fields: Any) -> IndexHead:
    now = time.time()
    variants = {name: VariantInfo(f'"{generation}-{name}"', 4, "application/json") for name in names}
    values: dict[str, Any] = {
        "format": FORMAT, "status": 200, "generation": generation, "source_revision": 1, "source_id": 1,
        "fetched_at": now, "fresh_until": now + 300, "variants": variants,
    }  # fmt: skip
    return IndexHead(**(values | fields))


async def write(cache: CacheService, generation: int, **bodies: bytes) -> bool:
    named = {name.replace("_", "."): body for name, body in bodies.items()}
    return await cache.write_index(*PAGE, head_of(generation, *named), named)


def body_of(read: Any) -> bytes | None:
    return None if read.body is None else bytes(read.body)


# --- keys -------------------------------------------------------------------------------------


def test_keys__follow_the_documented_scheme() -> None:
    head = head_key("pypi", "simple/flask")
    assert head == "orchard:package_index:pypi:simple/flask"
    assert variant_key(head, JSON) == "orchard:package_index:pypi:simple/flask:v:json.gzip"
    assert revision_key("npm") == "orchard:upstream_sources:npm:revision"
    assert cache_key(Category.ARTIFACT_METADATA, "pypi", "flask/ab/f.whl") == (
        "orchard:artifact_metadata:pypi:flask/ab/f.whl"
    )


@pytest.mark.parametrize(
    "identifier",
    ["", "a b", "a\tb", "a\nb", "a\rb", "a\x00b", "a\x7fb", "a\x85b", "a\u2028b", "a\u00a0b", "a\ud800b", "x" * 1025],  # noqa: E501
)  # fmt: skip
async def test_key__an_identifier_that_could_break_keys_or_logs__is_refused(
    cache: CacheService, identifier: str
) -> None:
    with pytest.raises(InvalidData):
        await cache.get(Category.PACKAGE_VERSIONS, "pypi", identifier)
    with pytest.raises(InvalidData):
        await cache.read_index("pypi", identifier, JSON)


async def test_key__an_identity_that_looks_like_a_variant__is_refused(cache: CacheService) -> None:
    with pytest.raises(InvalidData):
        await cache.read_index("pypi", "simple/flask:v:json.gzip", "")


@pytest.mark.parametrize("protocol", ["", "py:pi", "py pi", "pypi\n"])
async def test_key__a_protocol_that_is_no_name__is_refused(cache: CacheService, protocol: str) -> None:
    with pytest.raises(InvalidData):
        await cache.get(Category.PACKAGE_VERSIONS, protocol, "flask")


async def test_key__letters_beyond_ascii__are_allowed(cache: CacheService) -> None:
    await cache.set(Category.PACKAGE_VERSIONS, "pypi", "naïve-包", b"1")
    assert await cache.get(Category.PACKAGE_VERSIONS, "pypi", "naïve-包") == b"1"


# --- plain values -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("category", "seconds"),
    [
        (Category.ARTIFACT_METADATA, -1),
        (Category.ARTIFACT_DEPENDENCIES, -1),
        (Category.DEPENDENCY_RESOLUTION, -1),
        (Category.UPSTREAM_SOURCES, 3600),
        (Category.PACKAGE_INDEX, 300),
        (Category.PACKAGE_VERSIONS, 300),
    ],
)
async def test_set__each_category__is_kept_as_long_as_the_design_says(
    cache: CacheService, redis: RedisClient, category: Category, seconds: int
) -> None:
    await cache.set(category, "pypi", "x", b"value")
    assert await redis.raw.ttl(cache_key(category, "pypi", "x")) == seconds


async def test_from_settings__other_lifetimes__are_used(redis: RedisClient) -> None:
    cache = CacheService.from_settings(redis, Settings(cache_ttl_versions=7, cache_ttl_upstream=9))
    assert cache.ttls[Category.PACKAGE_VERSIONS] == 7
    assert cache.ttls[Category.UPSTREAM_SOURCES] == 9


async def test_get_many__counts_hits_and_misses_per_category(cache: CacheService) -> None:
    await cache.set(Category.PACKAGE_VERSIONS, "pypi", "a", b"1")

    assert await cache.get_many(Category.PACKAGE_VERSIONS, "pypi", ["a", "b", "a"]) == [b"1", None, b"1"]

    assert cache.hits[Category.PACKAGE_VERSIONS] == 2
    assert cache.misses[Category.PACKAGE_VERSIONS] == 1
    assert cache.hits[Category.PACKAGE_INDEX] == 0


async def test_delete__some_of_several__tells_how_many_there_were(cache: CacheService) -> None:
    await cache.set(Category.PACKAGE_VERSIONS, "pypi", "a", b"1")
    assert await cache.delete(Category.PACKAGE_VERSIONS, "pypi", "a", "b") == 1
    assert await cache.get(Category.PACKAGE_VERSIONS, "pypi", "a") is None


# --- index pages ----------------------------------------------------------------------------------


async def test_read_index__nothing_stored__is_a_miss(cache: CacheService) -> None:
    read = await cache.read_index(*PAGE, JSON)
    assert (read.head, read.body, read.revision, read.verified) == (None, None, 0, True)
    assert cache.misses[Category.PACKAGE_INDEX] == 1


async def test_read_index__written__head_body_and_revision_come_in_one_read(
    cache: CacheService, redis: RedisClient
) -> None:
    await cache.raise_revision("pypi", 1)
    assert await write(cache, 10, json_gzip=b"json")
    calls = redis.batcher.calls

    read = await cache.read_index(*PAGE, JSON)

    assert redis.batcher.calls == calls + 1
    assert read.head is not None
    assert (read.head.generation, read.head.bodies_generation, read.revision) == (10, 10, 1)
    assert body_of(read) == b"json"
    assert cache.hits[Category.PACKAGE_INDEX] == 1


async def test_read_index__a_body__is_a_view_on_what_redis_sent(cache: CacheService) -> None:
    await write(cache, 10, json_gzip=b"x" * 100_000)
    body = (await cache.read_index(*PAGE, JSON)).body
    assert isinstance(body, memoryview)
    assert len(body) == 100_000
    assert isinstance(body.obj, bytes)
    assert len(body.obj) == 100_008


async def test_read_index__the_head_alone__asks_for_no_body(cache: CacheService) -> None:
    await write(cache, 10, json_gzip=b"json")
    read = await cache.read_index(*PAGE, "")
    assert read.head is not None
    assert read.body is None


async def test_read_index__a_missing_variant__leaves_the_head(cache: CacheService) -> None:
    await write(cache, 10, json_gzip=b"json")
    read = await cache.read_index(*PAGE, HTML)
    assert read.head is not None
    assert read.body is None


@pytest.mark.parametrize("stored", [b"", b"short", (9).to_bytes(8, "big") + b"old body"])
async def test_read_index__a_body_of_another_generation_or_damaged__is_a_missing_variant(
    cache: CacheService, redis: RedisClient, stored: bytes
) -> None:
    await write(cache, 10, json_gzip=b"json")
    await redis.raw.set(variant_key(head_key(*PAGE), JSON), stored)
    read = await cache.read_index(*PAGE, JSON)
    assert read.head is not None
    assert read.body is None


@pytest.mark.parametrize(
    "stored",
    [
        b"",
        b"\xc1 not msgpack",
        msgspec.msgpack.encode({"format": 1, "status": "two hundred"}),
        msgspec.msgpack.encode(head_of(10, format=FORMAT + 1)),
        msgspec.msgpack.encode([1, 2]),
        msgspec.msgpack.encode({"format": 1, "status": 200, "generation": 1, "bad": b"\xff"})[:-3],
    ],
    ids=["empty", "not msgpack", "wrong type", "newer format", "a list", "cut"],
)
async def test_read_index__a_head_that_this_version_cannot_read__is_a_miss_and_is_replaced(
    cache: CacheService, redis: RedisClient, stored: bytes
) -> None:
    await redis.raw.set(head_key(*PAGE), stored)
    assert (await cache.read_index(*PAGE, JSON)).head is None

    assert await write(cache, 10, json_gzip=b"json")
    assert body_of(await cache.read_index(*PAGE, JSON)) == b"json"


async def test_write_index__newer__replaces_all_variants_and_drops_those_not_rewritten(
    cache: CacheService, redis: RedisClient
) -> None:
    await write(cache, 10, json_gzip=b"j10", html_identity=b"h10")

    assert await write(cache, 11, json_gzip=b"j11")

    assert body_of(await cache.read_index(*PAGE, JSON)) == b"j11"
    assert body_of(await cache.read_index(*PAGE, HTML)) is None
    assert await redis.raw.exists(variant_key(head_key(*PAGE), HTML)) == 0


async def test_write_index__a_variant_named_but_not_given__does_not_keep_its_old_body(
    cache: CacheService, redis: RedisClient
) -> None:
    await write(cache, 10, json_gzip=b"j10", html_identity=b"h10")
    large = {
        JSON: VariantInfo('"a"', 3, "x"),
        HTML: VariantInfo('"b"', 300_000, "x", object_key="variants/b"),
    }

    assert await cache.write_index(*PAGE, head_of(11, variants=large), {JSON: b"j11"})

    assert await redis.raw.exists(variant_key(head_key(*PAGE), HTML)) == 0
    assert (await cache.read_index(*PAGE, HTML)).body is None


async def test_write_index__the_same_generation__may_write_again(cache: CacheService) -> None:
    await write(cache, 10, json_gzip=b"one")
    assert await write(cache, 10, json_gzip=b"two")
    assert body_of(await cache.read_index(*PAGE, JSON)) == b"two"


async def test_write_index__an_older_generation__loses_and_changes_nothing(
    cache: CacheService, redis: RedisClient
) -> None:
    generation = 1_795_437_000_000_001  # microseconds: must be exact in Lua's doubles
    await write(cache, generation, json_gzip=b"newer")
    before = await redis.raw.dump(head_key(*PAGE))

    assert not await write(cache, generation - 1, json_gzip=b"older", html_identity=b"older")

    assert await redis.raw.dump(head_key(*PAGE)) == before
    assert body_of(await cache.read_index(*PAGE, JSON)) == b"newer"
    assert await redis.raw.exists(variant_key(head_key(*PAGE), HTML)) == 0


async def test_write_index__an_older_source_revision__loses(cache: CacheService) -> None:
    await cache.raise_revision("pypi", 2)
    assert not await cache.write_index(*PAGE, head_of(99, JSON, source_revision=1), {JSON: b"x"})
    assert (await cache.read_index(*PAGE, JSON)).head is None
    assert await cache.write_index(*PAGE, head_of(98, JSON, source_revision=2), {JSON: b"x"})


async def test_write_index__four_writers_race__the_highest_generation_stands_whole(
    cache: CacheService, redis: RedisClient
) -> None:
    names = (JSON, HTML, "json.identity", "html.gzip")

    async def writer(start: int) -> None:
        for generation in range(start, 200, 4):
            bodies = {name: b"%d %s" % (generation, name.encode()) for name in names[: 1 + generation % 4]}
            await cache.write_index(*PAGE, head_of(generation, *bodies), bodies)

    async def reader() -> int:
        seen = 0
        while not all(task.done() for task in writers):
            for name in names:
                read = await cache.read_index(*PAGE, name)
                if read.head is None:
                    continue
                if name in read.head.variants:
                    assert body_of(read) == b"%d %s" % (read.head.generation, name.encode())
                    seen += 1
                else:
                    assert read.body is None
        return seen

    writers = [asyncio.create_task(writer(start)) for start in range(1, 5)]
    assert await reader() > 0
    await asyncio.gather(*writers)

    head = (await cache.read_index(*PAGE, "")).head
    assert head is not None
    assert head.generation == 200 - 1
    keys = {key async for key in redis.raw.scan_iter(match="orchard:*")}
    expected = {variant_key(head_key(*PAGE), name) for name in head.variants} | {head_key(*PAGE)}
    assert keys == {key.encode() for key in expected}


async def test_write_index__a_body_that_the_head_does_not_name__is_refused(cache: CacheService) -> None:
    with pytest.raises(InvalidData):
        await cache.write_index(*PAGE, head_of(1, JSON), {HTML: b"x"})


async def test_write_index__adding_a_variant_to_bodies_of_its_generation__keeps_the_others(
    cache: CacheService,
) -> None:
    await write(cache, 10, json_gzip=b"json")
    both = head_of(12, JSON, HTML, bodies_generation=10)

    assert await cache.write_index(*PAGE, both, {HTML: b"html"})

    assert body_of(await cache.read_index(*PAGE, JSON)) == b"json"
    assert body_of(await cache.read_index(*PAGE, HTML)) == b"html"


async def test_write_index__adding_a_variant_to_bodies_that_were_replaced__loses(cache: CacheService) -> None:
    await write(cache, 11, json_gzip=b"newer")
    both = head_of(12, JSON, HTML, bodies_generation=10)

    assert not await cache.write_index(*PAGE, both, {HTML: b"html"})

    assert body_of(await cache.read_index(*PAGE, JSON)) == b"newer"


async def test_write_index__over_a_head_that_changed_since__loses_and_changes_nothing(
    cache: CacheService,
) -> None:
    await write(cache, 10, json_gzip=b"json")
    _, raw = await cache.read_head(*PAGE)
    added = head_of(10, JSON, HTML, bodies_generation=10)
    assert await cache.write_index(*PAGE, added, {HTML: b"html"}, over=raw)

    other = head_of(10, JSON, "json.zstd", bodies_generation=10)
    assert not await cache.write_index(*PAGE, other, {"json.zstd": b"zs"}, over=raw)

    assert body_of(await cache.read_index(*PAGE, HTML)) == b"html"
    assert (await cache.read_index(*PAGE, "json.zstd")).body is None


async def test_read_index__several_acceptable__the_first_that_the_page_has(cache: CacheService) -> None:
    await write(cache, 10, json_gzip=b"gz", html_identity=b"html")
    read = await cache.read_index(*PAGE, "json.zstd", JSON)
    assert (read.variant, body_of(read)) == (JSON, b"gz")
    missing = await cache.read_index(*PAGE, "text.zstd", "text.gzip")
    assert (missing.variant, missing.body) == ("text.zstd", None)


# --- heads alone: 304, failing, 404 ----------------------------------------------------------------


async def test_write_head__a_304__renews_freshness_and_keeps_the_bodies(cache: CacheService) -> None:
    await write(cache, 10, json_gzip=b"json")
    old = (await cache.read_index(*PAGE, "")).head
    assert old is not None
    renewed = msgspec.structs.replace(old, generation=12, fresh_until=old.fresh_until + 300)

    assert await cache.write_head(*PAGE, renewed)

    read = await cache.read_index(*PAGE, JSON)
    assert read.head == renewed
    assert body_of(read) == b"json"


async def test_write_head__an_older_generation__loses(cache: CacheService) -> None:
    await write(cache, 10, json_gzip=b"json")
    assert not await cache.write_head(*PAGE, head_of(9, JSON, bodies_generation=10))


async def test_write_head__an_older_source_revision__loses(cache: CacheService) -> None:
    await write(cache, 10, json_gzip=b"json")
    await cache.raise_revision("pypi", 2)
    assert not await cache.write_head(*PAGE, head_of(11, JSON, bodies_generation=10))


async def test_write_head__the_bodies_were_replaced_meanwhile__loses(cache: CacheService) -> None:
    await write(cache, 10, json_gzip=b"newer bodies")
    assert not await cache.write_head(*PAGE, head_of(12, JSON, bodies_generation=8))
    assert body_of(await cache.read_index(*PAGE, JSON)) == b"newer bodies"


async def test_write_head__the_head_was_evicted__the_bodies_are_found_again(
    cache: CacheService, redis: RedisClient
) -> None:
    await write(cache, 10, json_gzip=b"json")
    await redis.raw.delete(head_key(*PAGE))
    assert await cache.write_head(*PAGE, head_of(12, JSON, bodies_generation=10))
    assert body_of(await cache.read_index(*PAGE, JSON)) == b"json"


async def test_write_head__a_404__drops_the_bodies_and_expires_when_it_may_no_longer_be_served(
    cache: CacheService, redis: RedisClient
) -> None:
    await write(cache, 10, json_gzip=b"json")
    gone = head_of(11, status=404, fresh_until=time.time() + 60)

    assert await cache.write_head(*PAGE, gone)

    read = await cache.read_index(*PAGE, JSON)
    assert read.head == gone
    assert read.body is None
    assert await redis.raw.exists(variant_key(head_key(*PAGE), JSON)) == 0
    assert 50 < await redis.raw.ttl(head_key(*PAGE)) <= 60


async def test_write_index__over_a_404__makes_the_page_known(cache: CacheService, redis: RedisClient) -> None:
    await cache.write_head(*PAGE, head_of(11, status=404))
    assert await write(cache, 12, json_gzip=b"json")
    assert body_of(await cache.read_index(*PAGE, JSON)) == b"json"
    assert await redis.raw.ttl(head_key(*PAGE)) == -1


async def test_expiry__no_stale_limit__pages_stay(cache: CacheService, redis: RedisClient) -> None:
    await write(cache, 10, json_gzip=b"json")
    assert await redis.raw.ttl(head_key(*PAGE)) == -1
    assert await redis.raw.ttl(variant_key(head_key(*PAGE), JSON)) == -1


async def test_expiry__a_stale_limit__counts_from_the_end_of_freshness_and_moves_only_with_it(
    redis: RedisClient,
) -> None:
    cache = CacheService.from_settings(redis, Settings(stale_limit=1000))
    await write(cache, 10, json_gzip=b"json")
    names = (head_key(*PAGE), variant_key(head_key(*PAGE), JSON))
    first = [await redis.raw.pttl(name) for name in names]
    assert all(1_290_000 < left <= 1_300_000 for left in first)

    old = (await cache.read_index(*PAGE, "")).head
    assert old is not None
    failing = msgspec.structs.replace(old, generation=11, failing=True, retry_at=time.time() + 30)
    assert await cache.write_head(*PAGE, failing)
    assert all(left <= before for left, before in zip(await pttls(redis, names), first, strict=True))

    confirmed = msgspec.structs.replace(old, generation=12, fresh_until=old.fresh_until + 500)
    assert await cache.write_head(*PAGE, confirmed)
    assert all(left > 1_700_000 for left in await pttls(redis, names))


async def pttls(redis: RedisClient, names: tuple[str, ...]) -> list[int]:
    return [await redis.raw.pttl(name) for name in names]


async def test_expiry__past_the_stale_limit__the_page_is_gone(redis: RedisClient) -> None:
    cache = CacheService.from_settings(redis, Settings(stale_limit=1))
    old = head_of(10, JSON, fresh_until=time.time() - 5)
    await cache.write_index(*PAGE, old, {JSON: b"json"})
    assert (await cache.read_index(*PAGE, JSON)).head is None


async def test_expiry__a_page_s_own_stale_limit__beats_the_setting(redis: RedisClient) -> None:
    cache = CacheService.from_settings(redis, Settings(stale_limit=1000))
    for own, least, most in ((0, -1, -1), (50, 340_000, 350_000)):
        head = msgspec.structs.replace(head_of(10 + own, JSON), stale_seconds=own)
        assert await cache.write_index(*PAGE, head, {JSON: b"json"})
        assert least <= await redis.raw.pttl(head_key(*PAGE)) <= most


# --- facts, sources ------------------------------------------------------------------------------------


async def test_facts__written__are_read_back_and_never_expire(
    cache: CacheService, redis: RedisClient
) -> None:
    facts = StoredFile("ab" * 32, 5, "application/zip", "artifacts/ab", "f.whl", 1.5)
    await cache.write_facts(FileName("pypi", "flask", "ab", "f.whl"), facts)
    assert await cache.read_facts(FileName("pypi", "flask", "ab", "f.whl")) == facts
    assert await cache.read_facts(FileName("pypi", "flask", "ab", "other.whl")) is None
    assert await redis.raw.ttl("orchard:artifact_metadata:pypi:flask/ab/f.whl") == -1
    assert (cache.hits[Category.ARTIFACT_METADATA], cache.misses[Category.ARTIFACT_METADATA]) == (1, 1)


async def test_facts__services_one_version_back_can_read_them(
    cache: CacheService, redis: RedisClient
) -> None:
    class Older(msgspec.Struct, frozen=True, omit_defaults=True):
        format: int
        sha256: str
        size_bytes: int
        content_type: str
        object_key: str
        filename: str
        created_at: float = 0.0
        digests: dict[str, str] = {}
        modified: float = 0.0

    file = FileName("pypi", "flask", "ab", "f.whl")
    told = ("ab" * 32, 5, "application/zip", "artifacts/ab", "f.whl", 1.5, {"sha1": "c"}, 2.5)
    await cache.write_facts(file, StoredFile(*told))
    raw = await redis.raw.get(facts_key(file))
    assert msgspec.msgpack.decode(raw, type=Older) == Older(FORMAT, *told)
    await redis.raw.set(facts_key(file), msgspec.msgpack.encode(Older(FORMAT, *told)))
    assert await cache.read_facts(file) == StoredFile(*told)


async def test_facts__of_another_format__are_a_miss(cache: CacheService, redis: RedisClient) -> None:
    file = FileName("pypi", "flask", "ab", "f.whl")
    facts = StoredFile("ab" * 32, 5, "application/zip", "artifacts/ab", "f.whl")
    told = msgspec.to_builtins(facts)
    for format_, found in ((FORMAT, facts), (FORMAT + 1, None)):
        await redis.raw.set(facts_key(file), msgspec.msgpack.encode(told | {"format": format_}))
        assert await cache.read_facts(file) == found


async def test_revision__raised_out_of_order__only_grows(cache: CacheService, redis: RedisClient) -> None:
    assert await cache.read_revision("pypi") == 0
    await asyncio.gather(*(cache.raise_revision("pypi", revision) for revision in (3, 9, 10, 2)))
    assert await cache.read_revision("pypi") == 10
    assert await cache.read_revision("npm") == 0
    assert 3590 < await redis.raw.ttl(revision_key("pypi")) <= 3600


async def test_revision__not_a_number__is_unknown(cache: CacheService, redis: RedisClient) -> None:
    await redis.raw.set(revision_key("pypi"), "x")
    assert await cache.read_revision("pypi") == 0
    assert (await cache.read_index(*PAGE, JSON)).revision == 0
    await cache.raise_revision("pypi", 4)
    assert await cache.read_revision("pypi") == 4


async def test_breaker__open_then_over_then_cleared(cache: CacheService, redis: RedisClient) -> None:
    assert await read_breaker(cache, "pypi", 7) is None
    held = BreakerState(
        FORMAT, 7, "open", time.time() + 30, "upstream_rate_limited", 30, message="429", left_seconds=30.0
    )
    await cache.write_breaker("pypi", held)
    read = await read_breaker(cache, "pypi", 7)
    assert read is not None and 29 < read.left_seconds <= 30
    assert msgspec.structs.replace(read, left_seconds=30.0) == held
    assert await read_breaker(cache, "pypi", 8) is None
    assert 30 < await redis.raw.ttl("orchard:upstream_sources:pypi:breaker:7") <= 630

    over = msgspec.structs.replace(held, left_seconds=0.0)
    await cache.write_breaker("pypi", over)
    assert await read_breaker(cache, "pypi", 7) == over, "kept, so that someone probes before all ask"

    await cache.clear_breaker("pypi", 7)
    assert await read_breaker(cache, "pypi", 7) is None


async def test_breaker__end_is_an_expiry__the_hour_of_the_day_plays_no_part(
    cache: CacheService, redis: RedisClient
) -> None:
    for until in (0.0, 1e12):
        held = BreakerState(FORMAT, 7, "open", until, "upstream_timeout", left_seconds=0.05)
        await cache.write_breaker("pypi", held)
        read = await read_breaker(cache, "pypi", 7)
        assert read is not None and 0 < read.left_seconds <= 0.05
        while await redis.raw.exists("orchard:upstream_sources:pypi:pause:7:index"):
            await asyncio.sleep(0.01)
        read = await read_breaker(cache, "pypi", 7)
        assert read is not None and read.left_seconds == 0


async def test_open_breakers__all_of_a_source_but_those_of_one_address(cache: CacheService) -> None:
    assert await cache.open_breakers("pypi", 7) == []
    for name in ("index", "file@files.example.com:443", "host"):
        state = BreakerState(FORMAT, 7, "open", 0.0, "upstream_timeout", name=name, left_seconds=9.0)
        await cache.write_breaker("pypi", state)
    one = BreakerState(FORMAT, 7, "open", 0.0, "upstream_timeout", name="one@0", left_seconds=9.0)
    await cache.write_breaker("pypi", one, kept_seconds=60)
    found = await cache.open_breakers("pypi", 7)
    assert [state.name for state in found] == ["file@files.example.com:443", "host", "index"]
    assert await read_breaker(cache, "pypi", 7, "one@0") is not None
    await cache.clear_breaker("pypi", 7, "host")
    assert [state.name for state in await cache.open_breakers("pypi", 7)] == [found[0].name, "index"]
    assert await cache.open_breakers("pypi", 8) == []


async def test_breaker__keys_of_other_types__are_as_if_absent(
    cache: CacheService, redis: RedisClient
) -> None:
    for key in ("breaker:7", "pause:7:index", "breakers:7"):
        await redis.raw.lpush(f"orchard:upstream_sources:pypi:{key}", "x")
    assert await read_breaker(cache, "pypi", 7) is None
    state = BreakerState(FORMAT, 7, "open", 0.0, "upstream_timeout", left_seconds=9.0)
    await cache.write_breaker("pypi", state)
    read = await read_breaker(cache, "pypi", 7)
    assert read is not None and read.left_seconds > 0
    assert len(await cache.open_breakers("pypi", 7)) == 1


async def test_breaker__pause_without_an_end__ends(cache: CacheService, redis: RedisClient) -> None:
    state = BreakerState(FORMAT, 7, "open", 0.0, "upstream_timeout")
    await cache.write_breaker("pypi", state)
    await redis.raw.set("orchard:upstream_sources:pypi:pause:7:index", "1")
    assert await read_breaker(cache, "pypi", 7) == state
    assert await cache.try_probe("pypi", 7, 3.0)


async def test_breaker__services_one_version_back_can_read_it(
    cache: CacheService, redis: RedisClient
) -> None:
    class Older(msgspec.Struct, frozen=True, omit_defaults=True):
        format: int
        source_id: int
        state: str
        until: float
        reason: str = ""
        retry_after_seconds: int = 0

    now = time.time()
    state = BreakerState(
        FORMAT, 7, "open", now + 9, "upstream_timeout", message="silent", pauses=2, left_seconds=9.0
    )
    await cache.write_breaker("pypi", state)
    raw = await redis.raw.get("orchard:upstream_sources:pypi:breaker:7")
    assert msgspec.msgpack.decode(raw, type=Older) == Older(FORMAT, 7, "open", now + 9, "upstream_timeout")
    await redis.raw.flushdb()
    older = Older(FORMAT, 7, "open", now + 9, "upstream_timeout")
    await redis.raw.set("orchard:upstream_sources:pypi:breaker:7", msgspec.msgpack.encode(older))
    read = await read_breaker(cache, "pypi", 7)
    assert read is not None and read.left_seconds == 0, "asked, with a probe before it"


async def test_try_probe__many_at_once__one_may(cache: CacheService) -> None:
    assert sum(await asyncio.gather(*(cache.try_probe("pypi", 7, 30.0) for _ in range(20)))) == 1
    assert await cache.try_probe("pypi", 8, 30.0)
    await cache.clear_breaker("pypi", 7)
    assert await cache.try_probe("pypi", 7, 30.0)


# --- invalidation ----------------------------------------------------------------------------------------


async def test_invalidate__one_page__takes_its_bodies_and_no_other(cache: CacheService) -> None:
    await write(cache, 10, json_gzip=b"json", html_identity=b"html")
    for neighbour in ("simple/flask-cors", "simple/flas*"):
        await cache.write_index("pypi", neighbour, head_of(1, JSON), {JSON: b"other"})

    assert await cache.invalidate(Category.PACKAGE_INDEX, *PAGE) == 3

    assert (await cache.read_index(*PAGE, JSON)).head is None
    assert await cache.invalidate(Category.PACKAGE_INDEX, "pypi", "simple/flas*") == 2
    assert body_of(await cache.read_index("pypi", "simple/flask-cors", JSON)) == b"other"


async def test_invalidate__a_prefix__takes_what_starts_with_it(cache: CacheService) -> None:
    for name in ("a/1", "a/2", "b/1"):
        await cache.set(Category.DEPENDENCY_RESOLUTION, "pypi", name, b"x")
    assert await cache.invalidate(Category.DEPENDENCY_RESOLUTION, "pypi", prefix="a/") == 2
    assert await cache.get(Category.DEPENDENCY_RESOLUTION, "pypi", "b/1") == b"x"


async def test_invalidate__a_category__takes_all_of_one_protocol(
    cache: CacheService, redis: RedisClient
) -> None:
    await redis.raw.mset({f"orchard:package_versions:pypi:p{i}": "x" for i in range(2500)})
    await cache.set(Category.PACKAGE_VERSIONS, "npm", "p1", b"kept")
    await cache.set(Category.DEPENDENCY_RESOLUTION, "pypi", "p1", b"kept")

    assert await cache.invalidate(Category.PACKAGE_VERSIONS, "pypi") == 2500

    assert await cache.get(Category.PACKAGE_VERSIONS, "pypi", "p7") is None
    assert await cache.get(Category.PACKAGE_VERSIONS, "npm", "p1") == b"kept"
    assert await cache.get(Category.DEPENDENCY_RESOLUTION, "pypi", "p1") == b"kept"


async def test_invalidate__the_sources__leaves_the_revision(cache: CacheService) -> None:
    await cache.raise_revision("pypi", 5)
    await cache.set(Category.UPSTREAM_SOURCES, "pypi", "list", b"x")
    assert await cache.invalidate(Category.UPSTREAM_SOURCES, "pypi") == 1
    assert await cache.read_revision("pypi") == 5
