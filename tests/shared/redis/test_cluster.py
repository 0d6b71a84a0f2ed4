"""The cache role on a Redis Cluster of real servers: one page in one slot, moves, failovers, tracking."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from services.gateway.hits.l1 import L1Cache
from services.gateway.hits.tracking import InvalidationStream
from shared.cache.keys import PREFIX, Category, facts_key, fence_key, head_key, revision_key, variant_key
from shared.cache.service import CacheService
from shared.errors import ConfigurationError
from shared.errors.passing import CacheUnavailable
from shared.models import FORMAT, FileName, IndexHead, StoredFile, VariantInfo
from shared.redis.cluster_client import ClusterClient
from shared.redis.script import mark_stands, take_mark
from shared.redis.slots import slot_of, tagged, tagged_pattern, untagged
from shared.settings import load_settings
from tests.support.redis_cluster import Nodes, redis_cluster
from tests.support.sentinel import PASSWORD

FILE = FileName("pypi", "demo", "ab" * 32, "demo-1.whl")
HEAD = head_key("pypi", "simple/demo")

NAMES = {
    HEAD: "orchard:package_index:pypi:{simple/demo}",
    variant_key(HEAD, "json.gzip"): "orchard:package_index:pypi:{simple/demo}:v:json.gzip",
    head_key("npm", "packument/@a/b{c}d"): "orchard:package_index:npm:{packument/@a/b{c}d}",
    head_key("maven", "metadata/g:a}"): "orchard:package_index:maven:{metadata/g:a}}",
    variant_key(head_key("maven", "x}"), "xml.identity"): "orchard:package_index:maven:{x}}:v:xml.identity",
    facts_key(FILE): f"orchard:artifact_metadata:pypi:{{{FILE.identity}}}",
    fence_key(FILE): f"orchard:artifact_fence:pypi:{{{FILE.identity}}}",
    revision_key("pypi"): "orchard:upstream_sources:{pypi}:revision",
    "orchard:upstream_sources:pypi:revalidated:simple/a}b": (
        "orchard:upstream_sources:{pypi}:revalidated:simple/a}b"
    ),
    "orchard:dependency_resolution:pypi:x{y}z": "orchard:dependency_resolution:pypi:x{y}z",
    "something:{else}": "something:{else}",
}


@pytest.mark.parametrize("name", NAMES)
def test_names__spelt_for_the_cluster_and_back(name: str) -> None:
    assert tagged(name) == NAMES[name]
    assert untagged(NAMES[name]) == name


def test_one_slot__what_is_needed_together() -> None:
    together = [
        [HEAD, *(variant_key(HEAD, each) for each in ("json.gzip", "html.identity", "json.identity.ab"))],
        [facts_key(FILE), fence_key(FILE)],
        [
            f"orchard:upstream_sources:npm:{each}"
            for each in ("revision", "breaker:7", "pause:7:index", "breakers:7")
        ],
    ]
    for keys in together:
        assert len({slot_of(tagged(key)) for key in keys}) == 1, keys
    apart = {slot_of(tagged(head_key("pypi", f"simple/p{number}"))) for number in range(100)}
    assert len(apart) > 90


@pytest.mark.parametrize(
    ("pattern", "spelt"),
    [
        ("orchard:package_index:*", "orchard:package_index:*"),
        ("orchard:package_index:pypi:*", "orchard:package_index:pypi:*"),
        ("orchard:package_index:pypi:simple/d*", "orchard:package_index:pypi:{simple/d*"),
        ("orchard:upstream_sources:pypi:*", "orchard:upstream_sources:{pypi}:*"),
        ("orchard:*", "orchard:*"),
    ],
)
def test_patterns(pattern: str, spelt: str) -> None:
    assert tagged_pattern(pattern) == spelt


# --- a cluster ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    with redis_cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest_asyncio.fixture
async def client(nodes: Nodes) -> AsyncIterator[ClusterClient]:
    client = ClusterClient(nodes.seeds, password=PASSWORD)
    yield client
    await client.aclose()


@pytest.fixture
def cache(client: ClusterClient) -> CacheService:
    return CacheService.from_settings(client, load_settings({}))


def head(generation: int = 1, revision: int = 1, **more: object) -> IndexHead:
    variants = {"json.identity": VariantInfo('"1"', 4, "application/json")}
    values = {"fetched_at": 1.0, "fresh_until": 2.0, "variants": variants, **more}
    return IndexHead(FORMAT, 200, generation, revision, 1, **values)  # type: ignore[arg-type]


async def until(condition: Callable[[], object], what: str) -> None:
    for _ in range(600):
        if condition():
            return
        await asyncio.sleep(0.05)
    raise AssertionError(what)


async def test_many_keys__in_order_from_all_masters(client: ClusterClient, nodes: Nodes) -> None:
    names = [head_key("pypi", f"simple/many{number}") for number in range(200)]
    await asyncio.gather(*(client.command("SET", name, name.encode()) for name in names[::2]))
    assert await client.get_many(names) == [
        None if number % 2 else name.encode() for number, name in enumerate(names)
    ]
    assert all(nodes.keys().values()), "every master has some"
    found = [
        name async for some in client.scan("orchard:package_index:pypi:simple/many*", 50) for name in some
    ]
    assert sorted(found) == sorted(names[::2])
    assert await client.unlink(*names) == 100


async def test_page__written_in_one_step_and_fenced(cache: CacheService, nodes: Nodes) -> None:
    body = {"json.identity": b"body"}
    assert await cache.write_index("pypi", "simple/page", head(2), body)
    read = await cache.read_index("pypi", "simple/page", "json.identity")
    assert read.head is not None and bytes(read.body or b"") == b"body"
    assert not await cache.write_index("pypi", "simple/page", head(1), body), "an older generation"
    await cache.raise_revision("pypi", 5)
    assert not await cache.write_index("pypi", "simple/page", head(3, 4), body), "older sources"
    assert not await cache.write_head("pypi", "simple/page", head(3, 4))
    assert await cache.write_index("pypi", "simple/page", head(4, 5), body)
    (holder,) = [keys for keys in nodes.keys().values() if any("{simple/page}" in key for key in keys)]
    assert {key for key in holder if "{simple/page}" in key} == {
        "orchard:package_index:pypi:{simple/page}",
        "orchard:package_index:pypi:{simple/page}:v:json.identity",
    }
    assert await cache.invalidate(Category.PACKAGE_INDEX, "pypi", "simple/page")
    assert (await cache.read_index("pypi", "simple/page", "json.identity")).head is None


async def test_invalidate__a_whole_protocol_and_a_prefix(cache: CacheService) -> None:
    for number in range(20):
        assert await cache.write_head("cargo", f"index/p{number}", head(variants={}))
    assert await cache.invalidate(Category.PACKAGE_INDEX, "cargo", prefix="index/p1") == 11
    assert await cache.invalidate(Category.PACKAGE_INDEX, "cargo") == 9


async def test_facts_marks_and_breakers(cache: CacheService, client: ClusterClient) -> None:
    facts = StoredFile("ab" * 32, 1, "a/b", "artifacts/x", "demo-1.whl", created_at=1.0)
    assert await cache.write_facts(FILE, facts)
    assert await cache.read_facts(FILE) == facts
    await cache.fence_facts(FILE, 1.0)
    assert not await cache.write_facts(FILE, facts)
    mark = "orchard:upstream_sources:pypi:revalidated:simple/x"
    assert await take_mark(client, mark, 30)
    assert not await take_mark(client, mark, 30)
    assert await mark_stands(client, mark, 30)
    assert await cache.try_probe("pypi", 7, 5.0)
    assert not await cache.try_probe("pypi", 7, 5.0)
    assert await cache.read_breakers("pypi", 7, ["index", "host"]) == [None, None]
    assert await client.ping() > 0


async def test_key_of_another_type__is_removed(client: ClusterClient) -> None:
    name = head_key("pypi", "simple/list")
    await client.command("RPUSH", name, b"1")
    with pytest.raises(CacheUnavailable):
        await client.command("GET", name)
    while await client.command("EXISTS", name):
        await asyncio.sleep(0.02)


async def test_slot_moved_to_another_master__is_followed(client: ClusterClient, nodes: Nodes) -> None:
    name = head_key("pypi", "simple/moving")
    await client.command("SET", name, b"1")
    number = next(number for number, keys in nodes.keys().items() if tagged(name) in keys)
    nodes.move(slot_of(tagged(name)), nodes.masters[number], nodes.masters[(number + 1) % 3])
    assert await client.get_many([name]) == [b"1"]
    await client.command("SET", name, b"2")
    assert tagged(name) in nodes.keys()[(number + 1) % 3]


async def test_slot_on_its_way__is_asked_for_where_it_will_be(client: ClusterClient, nodes: Nodes) -> None:
    name = head_key("pypi", "simple/going")
    await client.command("SET", name, b"1")
    slot = slot_of(tagged(name))
    number = next(number for number, keys in nodes.keys().items() if tagged(name) in keys)
    source, target = nodes.masters[number], nodes.masters[(number + 1) % 3]
    with source.client() as old, target.client() as new:
        ids = [str(each.execute_command("CLUSTER", "MYID").decode()) for each in (old, new)]
        new.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[0])
        old.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[1])
        old.execute_command("UNLINK", tagged(name))
        assert await client.get_many([name]) == [None], "asked there"
        await client.command("SET", name, b"2")
        assert await client.get_many([name]) == [b"2"]
        assert tagged(name) in nodes.keys()[(number + 1) % 3]
        for each in (new, old):
            each.execute_command("CLUSTER", "SETSLOT", slot, "NODE", ids[1])


async def test_memory_of_a_gateway__hears_of_changes_at_every_master(nodes: Nodes) -> None:
    reader, writer = (ClusterClient(nodes.seeds, password=PASSWORD) for _ in range(2))
    l1 = L1Cache(reader, max_bytes=1 << 20)
    await l1.open()
    try:
        assert l1.connected
        names = [head_key("pypi", f"simple/tracked{number}") for number in range(30)]
        for name in names:
            await writer.command("SET", name, b"1")
        assert await l1.get_many(names) == [b"1"] * 30
        assert all(l1.holds(name) for name in names)
        for name in names:
            await writer.command("SET", name, b"2")
        await until(lambda: not any(l1.holds(name) for name in names), "every change was told")
        assert await l1.get_many(names) == [b"2"] * 30
    finally:
        await l1.aclose()
        await reader.aclose()
        await writer.aclose()


async def test_no_node_answers__is_a_cache_that_is_away() -> None:
    client = ClusterClient([("127.0.0.1", 9)], password=PASSWORD)
    try:
        with pytest.raises(CacheUnavailable):
            await client.get_many(["orchard:x"])
    finally:
        await client.aclose()


async def test_master_lost__its_replica_is_found__and_followed(tmp_path: Path) -> None:
    with redis_cluster(tmp_path, replicas=True) as own:
        client = ClusterClient(own.seeds, password=PASSWORD)
        states: list[bool] = []
        stream = InvalidationStream(
            client,
            prefix=PREFIX,
            on_change=lambda keys: told.extend(keys),
            on_flush=lambda: None,
            on_connected=states.append,
        )
        told: list[str] = []
        await stream.open()
        try:
            names = [head_key("pypi", f"simple/lost{number}") for number in range(60)]
            for name in names:
                await client.command("SET", name, b"1")
            own.masters[0].kill()

            async def all_written() -> bool:
                try:
                    for name in names:
                        await client.command("SET", name, b"2")
                except CacheUnavailable:
                    return False
                return True

            for _ in range(300):
                if await all_written() and stream.connected:
                    break
                await asyncio.sleep(0.1)
            assert states[:3] == [True, False, True], "changes in between were not told"
            told.clear()
            for name in names:
                await client.command("SET", name, b"3")
            await until(lambda: set(told) >= set(names), "the new master's changes are told, too")
            assert await client.get_many(names) == [b"3"] * 60
        finally:
            await stream.aclose()
            await client.aclose()


def test_settings__one_of_the_ways_to_say_where_the_cache_is() -> None:
    settings = load_settings({"ORCHARD_REDIS_CLUSTER": "a:7000,[::1]:7001,b"})
    assert settings.redis_cluster == ("a:7000", "[::1]:7001", "b")
    for more in ({"ORCHARD_REDIS_SENTINELS": "x"}, {"ORCHARD_REDIS_DB": "1"}):
        with pytest.raises(ConfigurationError, match="ORCHARD_REDIS_CLUSTER"):
            load_settings({"ORCHARD_REDIS_CLUSTER": "a", **more})
