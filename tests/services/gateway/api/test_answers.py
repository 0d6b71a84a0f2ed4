"""What a gateway tells of graphs and locks in the making, and of ends that were not kept."""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import Any

import pytest

from shared.errors import ErrorValue
from shared.queue.jobs import Ensure, Resolve
from shared.resolving.answers import Ended, KeptAnswers, KeptLocks, KeptResolutions
from tests.services.gateway.conftest import Stores
from tests.support.gateway import GatewayProcess

KEY = hashlib.sha256(b"key").hexdigest()
KINDS = pytest.mark.parametrize(
    ("of", "job", "path"),
    [
        (KeptResolutions, Resolve(protocol="npm", key=KEY), f"/api/v1/resolutions/{KEY}"),
        (KeptLocks, Ensure(key=KEY, document="{}"), f"/api/v1/ensures/{KEY}"),
    ],
    ids=["resolution", "ensure"],
)


async def get(gateway: GatewayProcess, path: str) -> tuple[int, Any]:
    reply = await asyncio.to_thread(gateway.request, path)
    return reply.status, json.loads(reply.body)


@KINDS
async def test_by_key__in_the_making__progress_though_an_end_of_before_lies_ready(
    gateway: GatewayProcess, stores: Stores, of: Any, job: Any, path: str
) -> None:
    answers: KeptAnswers[Any] = of(stores.database, stores.cache)
    await answers.end(job, Ended(b'{"complete":false}'))
    assert await get(gateway, path) == (200, {"complete": False})
    await stores.queue.enqueue(job)
    status, shown = await get(gateway, path)
    assert (status, shown["status"], shown["location"]) == (202, "working", path)


@KINDS
async def test_by_key__state_of_a_job_that_was_lost__404_and_no_endless_progress(
    gateway: GatewayProcess, stores: Stores, of: Any, job: Any, path: str
) -> None:
    answers: KeptAnswers[Any] = of(stores.database, stores.cache)
    await answers.save_progress(KEY, b'{"started_at":1.0}')
    status, told = await get(gateway, path)
    assert (status, told["code"]) == (404, f"{path.split('/')[3][:-1]}_not_found")


async def test_ensure__ended_with_an_error__told_to_who_asks_later(
    gateway: GatewayProcess, stores: Stores
) -> None:
    locks = KeptLocks(stores.database, stores.cache)
    error = ErrorValue(code="resolution_conflict", message="nothing fits")
    await locks.end(Ensure(key=KEY, document="{}"), Ended(error=error))
    status, told = await get(gateway, f"/api/v1/ensures/{KEY}")
    assert (status, told["code"], told["detail"]) == (422, "resolution_conflict", "nothing fits")
