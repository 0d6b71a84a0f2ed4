"""What is blocked goes out by no way, from the second in which it is said; and nothing is done for it."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import time
from pathlib import Path

from services.gateway.api.resolution import resolution_request
from shared.cache.keys import Category
from tests.services.gateway.conftest import Stores
from tests.support.gateway import GatewayProcess, RawResponse, running_gateway

JSON = "application/vnd.pypi.simple.v1+json"
PAGE = "/pypi/simple/demo/"
WITHIN = 10.0  # seconds: in force within one, and a busy machine takes its time


async def _ask(gateway: GatewayProcess, path: str) -> RawResponse:
    return await asyncio.to_thread(gateway.request, path, accept=JSON)


async def _block(stores: Stores, **columns: object) -> None:
    names = ", ".join(columns)
    places = ", ".join(f"${number}" for number in range(1, len(columns) + 1))
    await stores.database.execute(
        f"INSERT INTO blocks (reason, {names}) VALUES ('it steals', {places})", *columns.values()
    )


async def _refused(gateway: GatewayProcess, path: str) -> RawResponse:
    """The first refusal; what is asked again and again is as hot as it gets. What goes out in that moment is
    broken off."""
    until = time.monotonic() + WITHIN
    while True:
        with contextlib.suppress(ConnectionError):
            answer = await _ask(gateway, path)
            if answer.status == 403 or time.monotonic() > until:
                assert (answer.status, b"it steals" in answer.body) == (403, True), (path, answer)
                return answer
        await asyncio.sleep(0.05)


async def test_block_by_name__hot_page_and_file__refused(gateway: GatewayProcess, stores: Stores) -> None:
    await stores.put_index("demo")
    facts = await stores.put_artifact("demo", "demo-1.0-py3-none-any.whl", b"PK\x03\x04" + b"x" * 2000)
    file = f"/pypi/files/demo/{facts.sha256}/{facts.filename}"
    for path in (PAGE, file):
        assert [(await _ask(gateway, path)).headers["x-cache"] for _ in range(4)][-1] == "HIT"
    await _block(stores, protocol="pypi", name="demo")
    for path in (PAGE, file):
        await _refused(gateway, path)


async def test_block_by_bytes__hot_file__refused(gateway: GatewayProcess, stores: Stores) -> None:
    facts = await stores.put_artifact("demo", "demo-1.0-py3-none-any.whl", b"PK\x03\x04" + b"y" * 100_000)
    file = f"/pypi/files/demo/{facts.sha256}/{facts.filename}"
    assert [(await _ask(gateway, file)).headers["x-cache"] for _ in range(4)][-1] == "HIT"
    await _block(stores, sha256=bytes.fromhex(facts.sha256))
    await _refused(gateway, file)


async def test_block__kept_resolutions_that_name_it__withheld(
    gateway: GatewayProcess, stores: Stores
) -> None:
    facts = await stores.put_artifact("demo", "demo-1.0-py3-none-any.whl", b"PK\x03\x04 a root")
    request = resolution_request("pypi", {}, artifact=facts.sha256)
    graph = {"request": {"protocol": "pypi"}, "nodes": [{"name": "evil", "version": "2.0"}]}
    await stores.cache.set(Category.DEPENDENCY_RESOLUTION, "pypi", request.key, json.dumps(graph).encode())
    ways = (f"/api/v1/artifacts/{facts.sha256}/resolution", f"/api/v1/resolutions/{request.key}")
    for path in ways:
        assert [(await _ask(gateway, path)).status for _ in range(3)] == [200] * 3
    await _block(stores, protocol="pypi", name="evil", version="2")
    for path in ways:
        await _refused(gateway, path)


async def test_blocked_and_not_here__nobody_is_sent_for_it(
    store_settings: dict[str, str], stores: Stores, tmp_path: Path
) -> None:
    await _block(stores, protocol="pypi", name="demo")
    digest = hashlib.sha256(b"never seen").hexdigest()
    with running_gateway(store_settings, tmp_path) as gateway:
        for path in (PAGE, f"/pypi/files/demo/{digest}/demo-1.0-py3-none-any.whl"):
            assert (await _ask(gateway, path)).status == 403
    depths = await stores.queue.depths(["index", "artifact"])
    assert {name: depth.ready for name, depth in depths.items()} == {"index": 0, "artifact": 0}
