"""Kept graphs and locks on a real PostgreSQL and Redis: one rule for both, and what older versions wrote."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from shared.cache.service import CacheService
from shared.errors import ErrorValue
from shared.postgres.database import Database
from shared.protocols.resolution import ResolutionRequest
from shared.queue.jobs import Ensure, Resolve
from shared.redis.client import RedisClient
from shared.resolving.answers import Ended, KeptAnswers, KeptLocks, KeptResolutions, request_of, resolve_job
from shared.settings import Settings
from tests.support.stores import RedisAddress

KEY = hashlib.sha256(b"key").hexdigest()
RESOLVE = Resolve(protocol="pypi", key=KEY, artifact="ab" * 32)
ENSURE = Ensure(key=KEY, document="{}")
KINDS = pytest.mark.parametrize(
    ("of", "job"), [(KeptResolutions, RESOLVE), (KeptLocks, ENSURE)], ids=["resolutions", "locks"]
)


@pytest_asyncio.fixture
async def redis(cache_redis: RedisAddress) -> AsyncIterator[RedisClient]:
    client = RedisClient(
        host=cache_redis.host, port=cache_redis.port, password=cache_redis.password, role="cache"
    )
    yield client
    await client.aclose()


@pytest_asyncio.fixture
async def stores(database_url: str, redis: RedisClient) -> AsyncIterator[tuple[Database, CacheService]]:
    database = Database(database_url, max_size=4)
    await database.open()
    yield database, CacheService.from_settings(redis, Settings())
    await database.aclose()


def refreshed(job: Any) -> Any:
    return msgspec.structs.replace(job, refresh=True)


@KINDS
async def test_kept_twice__first_stands_until_refreshed(of: Any, job: Any, stores: Any) -> None:
    answers: KeptAnswers[Any] = of(*stores)
    await answers.save_progress(KEY, b"{}")
    assert await answers.keep(job, b"first") == b"first"
    assert await answers.progress(KEY) is None
    assert await answers.keep(job, b"second") == b"first"
    assert await answers.row(KEY) == b"first"
    assert await answers.keep(refreshed(job), b"third") == b"third"
    assert await answers.row(KEY) == b"third"


@KINDS
async def test_found__from_the_cache_then_from_its_row_which_fills_the_cache(
    of: Any, job: Any, stores: Any, redis: RedisClient
) -> None:
    database, _ = stores
    answers: KeptAnswers[Any] = of(*stores)
    place = answers.place(job)
    assert await answers.find([place], KEY) is None
    await answers.keep(job, b"body")
    asked = database.statements
    assert await answers.find([place], KEY) == b"body"
    assert await answers.find(["elsewhere", place], KEY) == b"body"
    assert database.statements == asked
    await redis.raw.flushdb()
    assert await answers.find([place], KEY) == b"body"
    assert await answers.find([place], KEY) == b"body"
    assert database.statements == asked + 1


@KINDS
async def test_refresh__an_end_of_before__is_not_taken_for_its_answer(of: Any, job: Any, stores: Any) -> None:
    answers: KeptAnswers[Any] = of(*stores)
    await answers.end(job, Ended(b"incomplete"))
    assert await answers.ended(answers.place(job), KEY) == Ended(b"incomplete")
    await answers.keep(refreshed(job), b"whole")
    assert await answers.ended(answers.place(job), KEY) is None


@KINDS
async def test_progress__old_ones_of_others__swept(of: Any, job: Any, stores: Any) -> None:
    database, _ = stores
    answers: KeptAnswers[Any] = of(*stores)
    await answers.save_progress(KEY, b"1")
    await database.execute(f"UPDATE {of.PROGRESS_TABLE} SET updated_at = now() - interval '2 days'")
    await answers.save_progress("00" * 32, b"2")
    assert await answers.progress(KEY) is None
    assert await answers.progress_of([KEY, "00" * 32]) == [b"2"]


async def test_end__lies_where_and_as_other_versions_look_for_it(stores: Any, redis: RedisClient) -> None:
    resolutions, locks = KeptResolutions(*stores), KeptLocks(*stores)
    error = ErrorValue(code="project_not_found", message="none")
    await resolutions.end(RESOLVE, Ended(b"graph"))
    await locks.end(ENSURE, Ended(b"lock"))
    graph = f"orchard:dependency_resolution:pypi:handed-{KEY}"
    lock = f"orchard:dependency_resolution:ensure:ended-{KEY}"
    assert await redis.raw.get(graph) == b"graph"
    assert 0 < await redis.raw.ttl(graph) <= 15
    assert msgspec.msgpack.decode(await redis.raw.get(lock)) == {"lock": b"lock", "error": None}
    assert 0 < await redis.raw.ttl(lock) <= 60
    await resolutions.end(RESOLVE, Ended(error=error))  # told by its event: here it would be served
    assert await redis.raw.get(graph) == b"graph"
    await locks.end(ENSURE, Ended(error=error))
    assert await locks.ended("ensure", KEY) == Ended(error=error)
    await redis.raw.set(lock, b"\xc1")
    assert await locks.ended("ensure", KEY) is None


def test_request__made_a_job_and_back__is_the_same() -> None:
    request = ResolutionRequest(
        protocol="npm", requirements=("a@1",), max_depth=7, include_optional=True, environment="e", as_of="t"
    )
    job = resolve_job(request, refresh=True, request_id="id")
    assert (job.key, job.refresh, job.request_id) == (request.key, True, "id")
    assert request_of(job) == request
