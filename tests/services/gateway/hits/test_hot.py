"""Answers out of this process's memory: what may not go out, what must not become hot, and its bounds."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import msgspec
import pytest
import pytest_asyncio

from services.gateway.hits.gate import Gate
from services.gateway.hits.hot import LONGEST_KEY, HotPages, MemoryHits
from services.gateway.hits.l1 import L1Cache
from services.gateway.hits.stored_objects import StoredObjects
from services.gateway.http.base_urls import MAX_KEPT
from services.gateway.http.requests import Headers, Key, Target
from services.gateway.serving.artifact_flow import serve_sealed
from services.gateway.serving.ports import Body
from shared.access.watcher import AccessWatcher
from shared.cache.service import CacheService
from shared.http.conditions import Conditions
from shared.models import FORMAT, FileName, IndexHead, StoredFile, VariantInfo
from shared.objects.port import VARIANTS
from shared.objects.verify import Verifier
from shared.process.threads import BoundedThreads
from shared.protocols import protocol_named
from shared.protocols.resource import Resource
from tests.services.gateway.conftest import Stores

VARIANT = "json.identity"
BODY = b'{"files":[]}'
PAGE = Resource(protocol="pypi", kind="index", identity="simple/demo", project="demo", representation="json")
KEY: Key = ("GET", b"/pypi/simple/demo/", b"", b"*/*", b"identity", False)


class Objects(StoredObjects):
    """Stored files, the reading of which takes as long as an operator needs to block something."""

    on_read: AccessWatcher | None = None

    async def open(self, key: str, start: int, length: int, *, size_bytes: int) -> Body | bytes | None:
        body = await super().open(key, start, length, size_bytes=size_bytes)
        if self.on_read is not None:
            await self.on_read.refresh()
        return body


VIEW = "build-" + "a" * 32


@dataclass
class Memory:
    hits: MemoryHits
    hot: HotPages
    cache: CacheService
    objects: Objects
    access: AccessWatcher

    def is_hot(self, key: Key, headers: Headers | None = None) -> bool:
        return self.hot.find(key, headers or {}, time.time()) is not None

    async def page(self, key: Key = KEY, resource: Resource = PAGE, **headers: bytes) -> None:
        """Ask for the page, which is cached."""
        sent = {name.replace("_", "-").encode(): value for name, value in headers.items()}
        assert await self.hits.page(key, _target(resource), resource, Conditions(), sent) is not None


@pytest_asyncio.fixture
async def memory(stores: Stores) -> AsyncIterator[Memory]:
    l1 = L1Cache(stores.cache_redis, max_bytes=1024 * 1024)
    await l1.open()
    threads = BoundedThreads(2)
    access = AccessWatcher(stores.database, stores.queue_redis)
    await access.refresh()
    cache = CacheService.from_settings(stores.cache_redis, stores.settings, reader=l1)
    hot = HotPages(l1, max_bytes=1024 * 1024, own_name=lambda: "")
    objects = Objects(stores.objects, Verifier(stores.objects, threads, seconds=3600), threads)
    hits = MemoryHits(cache, l1, hot, objects, Gate(access), access, stale_limit=0, ledger=False)
    yield Memory(hits, hot, cache, objects, access)
    await threads.aclose()
    await l1.aclose()


def _target(resource: Resource) -> Target:
    return Target(protocol_named("pypi"), resource, ("identity",), (), "/")


async def _cached(stores: Stores, memory: Memory) -> None:
    """The page, in Redis and in the L1."""
    now = time.time()
    variants = {VARIANT: VariantInfo('"x"', len(BODY), "text/x")}
    head = IndexHead(FORMAT, 200, 1, 0, 1, now, now + 300, variants=variants)
    await stores.cache.write_index("pypi", PAGE.identity, head, {VARIANT: BODY})
    await memory.cache.read_index("pypi", PAGE.identity, VARIANT)


async def test_page__made_under_other_blocks__not_answered_and_not_hot(
    stores: Stores, memory: Memory
) -> None:
    await _cached(stores, memory)
    await memory.page()
    assert memory.is_hot(KEY)
    memory.hot.clear()
    await stores.database.execute(
        "INSERT INTO blocks (protocol, name, version, reason) VALUES ('pypi', 'demo', '2', 'it steals')"
    )
    await memory.access.refresh()
    assert await memory.hits.page(KEY, _target(PAGE), PAGE, Conditions(), {}) is None
    assert not memory.is_hot(KEY)


async def _file(stores: Stores, memory: Memory) -> tuple[Resource, StoredFile, Key]:
    facts = await stores.put_artifact("demo", "demo-1.0-py3-none-any.whl", b"PK\x03\x04" + b"x" * 1000)
    resource = protocol_named("pypi").grammar.artifact_resource(
        FileName("pypi", "demo", facts.sha256, facts.filename)
    )
    await memory.cache.read_facts(resource.file)  # into memory
    return resource, facts, ("GET", b"/pypi/files/demo/x", b"", b"*/*", b"identity", False)


async def test_file__nothing_changes_while_it_is_read__hot(stores: Stores, memory: Memory) -> None:
    resource, _, key = await _file(stores, memory)
    assert await memory.hits.file(key, _target(resource), resource, Conditions()) is not None
    assert memory.is_hot(key)


async def test_file__blocks_change_while_it_is_read__does_not_come_back_among_the_hot(
    stores: Stores, memory: Memory
) -> None:
    resource, facts, key = await _file(stores, memory)
    await stores.database.execute(
        "INSERT INTO blocks (sha256, reason) VALUES ($1, 'it steals')", bytes.fromhex(facts.sha256)
    )
    memory.objects.on_read = memory.access
    await memory.hits.file(key, _target(resource), resource, Conditions())
    assert memory.access.policy.any
    assert not memory.is_hot(key)


@pytest.mark.parametrize("spelt", [VIEW, "%62uild-" + "a" * 32, "build%2D" + "%61" * 32])
async def test_page_in_a_build__however_spelt__hot_once_it_is_recorded_and_for_some_seconds(
    stores: Stores, memory: Memory, spelt: str
) -> None:
    await _cached(stores, memory)
    key: Key = ("GET", f"/v/{spelt}/pypi/simple/demo/".encode(), b"", b"*/*", b"identity", False)

    async def page() -> None:
        target = _target(msgspec.structs.replace(PAGE, view=VIEW))
        assert await memory.hits.page(key, target, PAGE, Conditions(), {}) is not None

    with pytest.raises(LookupError), memory.hot.once_recorded(key):
        await page()
        raise LookupError
    assert not memory.is_hot(key)
    with memory.hot.once_recorded(key):
        pass  # nothing is left of the first
    assert not memory.is_hot(key)
    with memory.hot.once_recorded(key):
        await page()
        assert not memory.is_hot(key)
    assert memory.is_hot(key)
    memory.hot.forget("build-" + "b" * 32)
    assert memory.is_hot(key)
    memory.hot.forget(VIEW)
    assert not memory.is_hot(key)
    with memory.hot.once_recorded(key):
        await page()
    assert memory.hot.find(key, {}, time.time() + 4) is not None
    assert memory.hot.find(key, {}, time.time() + 6) is None, "another gateway may have sealed or removed it"


async def test_page__no_cache_heeded_or_not__hot_where_clients_always_say_it(
    stores: Stores, memory: Memory
) -> None:
    await _cached(stores, memory)
    heedless = msgspec.structs.replace(PAGE, honours_no_cache=False)  # as Maven's
    for resource, hot in ((PAGE, False), (heedless, True)):
        await memory.page(resource=resource)
        assert memory.is_hot(KEY, {b"cache-control": b"no-cache"}) is hot


async def test_page__clients_that_only_revalidate__their_304_is_hot_and_no_200(
    stores: Stores, memory: Memory
) -> None:
    await _cached(stores, memory)
    known = Conditions(if_none_match=b'"x"')
    reply = await memory.hits.page(KEY, _target(PAGE), PAGE, known, {})
    assert reply is not None and reply.status == 304
    assert memory.is_hot(KEY, {b"if-none-match": b'"x"'})
    assert not memory.is_hot(KEY, {b"if-none-match": b'"y"'}) and not memory.is_hot(KEY)


async def test_page__a_stranger_s_long_header_or_host__is_no_key(stores: Stores, memory: Memory) -> None:
    await _cached(stores, memory)
    for accept in (b"text/html", b"text/html;" + b"x" * LONGEST_KEY):
        key: Key = ("GET", b"/pypi/simple/demo/", b"", accept, b"gzip", False)
        await memory.page(key)
        assert memory.is_hot(key) is (len(accept) < LONGEST_KEY)
    addressed = msgspec.structs.replace(PAGE, per_base_url=True)
    target = msgspec.structs.replace(_target(addressed), variants=(VARIANT,))
    for host in (b"localhost", b"x" * LONGEST_KEY):
        await memory.hits.page(KEY, target, addressed, Conditions(), {b"host": host})
        assert memory.is_hot(KEY, {b"host": host}) is (len(host) < LONGEST_KEY)


async def test_page__with_addresses_in_it__hot_for_each_host_and_scheme_but_for_a_few(
    stores: Stores, memory: Memory
) -> None:
    await _cached(stores, memory)
    addressed = msgspec.structs.replace(PAGE, per_base_url=True)
    target = msgspec.structs.replace(_target(addressed), variants=(VARIANT,))
    asked: list[Headers] = [{b"host": b"h%d" % number} for number in range(MAX_KEPT)]
    asked[0] = {b"host": b"h1", b"x-forwarded-proto": b"https"}
    for headers in asked:
        await memory.hits.page(KEY, target, addressed, Conditions(), headers)
    assert all(memory.is_hot(KEY, headers) for headers in asked)
    assert not memory.is_hot(KEY, {b"host": b"h0"}) and not memory.is_hot(KEY)
    one_more: Headers = {b"host": b"one-more"}
    await memory.hits.page(KEY, target, addressed, Conditions(), one_more)
    assert memory.is_hot(KEY, one_more) and not memory.is_hot(KEY, asked[0])


async def test_large_page__blocks_change_while_its_body_is_opened__not_hot(
    stores: Stores, memory: Memory
) -> None:
    body = BODY * 30_000
    digest = hashlib.sha256(body).hexdigest()
    info = VariantInfo('"x"', len(body), "text/x", object_key=f"{VARIANTS}/{digest}")
    await stores.objects.put_bytes(info.object_key, body)
    now = time.time()
    head = IndexHead(FORMAT, 200, 1, 0, 1, now, now + 300, variants={VARIANT: info})
    await stores.cache.write_index("pypi", PAGE.identity, head, {})
    await memory.cache.read_index("pypi", PAGE.identity, VARIANT)
    await memory.page()
    assert memory.is_hot(KEY)
    memory.hot.clear()
    await stores.database.execute(
        "INSERT INTO blocks (protocol, name, version, reason) VALUES ('pypi', 'other', '2', 'it steals')"
    )
    memory.objects.on_read = memory.access
    await memory.page()
    assert memory.access.policy.any and not memory.is_hot(KEY)


async def test_file__facts_are_taken_away__no_longer_hot(stores: Stores, memory: Memory) -> None:
    resource, facts, key = await _file(stores, memory)
    await memory.hits.file(key, _target(resource), resource, Conditions())
    assert memory.is_hot(key)
    await stores.cache.fence_facts(resource.file, facts.created_at)
    async with asyncio.timeout(30):
        while memory.cache.peek_facts(resource.file) is not None:
            await asyncio.sleep(0.01)  # the invalidation is on its way
    assert not memory.is_hot(key)


async def test_file__whose_verdict_ends__is_hot_until_then(
    stores: Stores, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    resource, facts, key = await _file(stores, memory)
    for judged, ends in (
        (f"stamp {time.time() + 60}@unverified why", True),
        ("stamp 0.0 why", False),
        ("", False),
    ):
        known = msgspec.structs.replace(facts, judged=judged)
        monkeypatch.setattr(memory.cache, "peek_facts", lambda file, known=known: known)
        await memory.hits.file(key, _target(resource), resource, Conditions())
        assert memory.is_hot(key)
        assert (memory.hot.find(key, {}, time.time() + 61) is None) is ends, judged


async def test_file__that_cannot_be_looked_after__not_hot_but_for_its_304(
    stores: Stores, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    resource, facts, key = await _file(stores, memory)
    monkeypatch.setattr(memory.objects, "watch", lambda key, size_bytes: None)  # as of one in a bucket
    await memory.hits.file(key, _target(resource), resource, Conditions())
    assert not memory.is_hot(key)
    assert memory.is_hot(key, {b"if-none-match": f'"{facts.sha256}"'.encode()})


# --- sealed builds ----------------------------------------------------------------------------------


async def _sealed(
    memory: Memory, resource: Resource, facts: StoredFile, known: Callable[[], bool], *, late: bool = False
) -> Key:
    """A file of a sealed build, answered and given to be kept. `late`: once the policy has changed."""
    resource = msgspec.structs.replace(resource, view=VIEW)
    key: Key = ("GET", f"/v/{VIEW}/pypi/files/demo/x".encode(), b"", b"*/*", b"identity", False)
    keep = memory.hits.keeper(key, _target(resource), {})
    if late:
        await memory.access.refresh()
    reply = await serve_sealed(resource, Conditions(), facts, memory.objects)
    again = Conditions(if_none_match=f'"{facts.sha256}"'.encode())
    unchanged = await serve_sealed(resource, again, facts, memory.objects)
    assert reply is not None and unchanged is not None
    with memory.hot.once_recorded(key):
        keep(reply, unchanged, resource.file, known)
    return key


async def test_file_of_a_sealed_build__hot_while_the_build_is_known_to_be_there(
    stores: Stores, memory: Memory
) -> None:
    resource, facts, _ = await _file(stores, memory)
    there = True
    key = await _sealed(memory, resource, facts, lambda: there)
    assert memory.is_hot(key) and memory.is_hot(key, {b"if-none-match": f'"{facts.sha256}"'.encode()})
    memory.hot.forget(VIEW[:-1])
    assert memory.is_hot(key), "of another view"
    there = False
    assert not memory.is_hot(key)
    key = await _sealed(memory, resource, facts, lambda: True)
    memory.hot.forget(VIEW)
    assert not memory.is_hot(key)


async def test_file_of_a_sealed_build__the_object_is_lost__not_answered_from_memory(
    stores: Stores, memory: Memory
) -> None:
    resource, facts, _ = await _file(stores, memory)
    key = await _sealed(memory, resource, facts, lambda: True)
    path = stores.objects.local_path(facts.object_key)
    assert path is not None
    path.unlink()
    assert not memory.is_hot(key)


async def test_file_of_a_sealed_build__rules_that_change_meanwhile__not_hot_nor_without_facts(
    stores: Stores, memory: Memory
) -> None:
    resource, facts, _ = await _file(stores, memory)
    block = "INSERT INTO blocks (protocol, name, version, reason) VALUES ('pypi', 'other', '2', 'it steals')"
    await stores.database.execute(block)
    key = await _sealed(memory, resource, facts, lambda: True, late=True)
    assert not memory.is_hot(key)
    key = await _sealed(memory, resource, facts, lambda: True)
    assert memory.access.policy.any and memory.is_hot(key)
    ended = msgspec.structs.replace(facts, judged=f"stamp {time.time() + 60}@unverified why")
    key = await _sealed(memory, resource, ended, lambda: True)
    assert memory.hot.find(key, {}, time.time() + 61) is None
    unknown = msgspec.structs.replace(resource, file_id="0" * 64)
    memory.hot.clear()
    assert not memory.is_hot(await _sealed(memory, unknown, facts, lambda: True))
