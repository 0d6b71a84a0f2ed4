"""Downloads that stand still take no room from pages."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable

import pytest

from bench.harness.download import Download, download
from tests.support.builders import build_wheel
from tests.support.orchard import JSON, Cluster, wait_until
from tests.support.upstream import Fault, Upstream

Names = Callable[[], str]


@pytest.mark.slow
async def test_200_stalled_downloads__an_index_miss_is_answered_at_once(
    orchard: Cluster, upstream: Upstream, project: Names
) -> None:
    stalled = project()
    files = {
        f"{stalled.replace('-', '_')}-{n}.0-py3-none-any.whl": build_wheel(
            stalled, f"{n}.0", size_bytes=200_000
        )
        for n in range(200)
    }
    upstream.add_project(stalled, files)
    paths = [
        f"/pypi/files/{stalled}/{hashlib.sha256(wheel).hexdigest()}/{name}" for name, wheel in files.items()
    ]
    orchard.page(stalled)
    for name in files:
        upstream.fault(f"/files/{stalled}/{name}", Fault(stall_at=100_000))
    tasks = [asyncio.create_task(_quietly(orchard.url(path))) for path in paths]
    await asyncio.to_thread(
        wait_until,
        lambda: upstream.open_connections >= 85,
        seconds=30,
        what="as many stalled downloads as the pool admits",
    )
    other = project()
    upstream.add_project(
        other, {f"{other.replace('-', '_')}-1.0-py3-none-any.whl": build_wheel(other, "1.0")}
    )
    started = time.monotonic()
    answer = await download(orchard.url(f"/pypi/simple/{other}/"), accept=JSON)
    waited = time.monotonic() - started
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    upstream.heal()
    assert answer.status == 200
    assert waited < 1.0


async def _quietly(url: str) -> Download | None:
    try:
        return await download(url)
    except (OSError, asyncio.IncompleteReadError):
        return None
