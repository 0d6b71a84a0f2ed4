"""The extractor as a process: takes jobs, shows its health, drains on SIGTERM, refuses bad settings."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from services.extractor.compose import run
from services.extractor.extraction.pending import PendingSweep
from shared.worker.heartbeat import Heartbeat, read_health
from tests.services.extractor.conftest import House
from tests.support.builders import build_wheel

ROOT = Path(__file__).parents[3]


async def start(environment: dict[str, str], log: Path) -> asyncio.subprocess.Process:
    with log.open("wb") as out:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "services.extractor",
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], **environment},
            stdout=out,
            stderr=asyncio.subprocess.PIPE,
        )


async def its_heartbeat(house: House) -> Heartbeat:
    async with asyncio.timeout(30):
        while not (found := await read_health(house.queue_redis)):
            await asyncio.sleep(0.05)
    return found[0]


@pytest.fixture
async def process(
    house: House, store_settings: dict[str, str], tmp_path: Path
) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await start(store_settings, tmp_path / "log")
    yield process
    if process.returncode is None:
        process.kill()
    assert process.stderr is not None
    await process.stderr.read()
    await process.wait()


async def test_process__job_queued__read_logged_with_its_request_id_and_stopped_cleanly(
    house: House, process: asyncio.subprocess.Process, tmp_path: Path
) -> None:
    import msgspec

    job = await house.keep("demo-1.0-py3-none-any.whl", build_wheel("demo", "1.0", requires=["click"]))
    await house.queue.enqueue(msgspec.structs.replace(job, request_id="request-42"))
    assert (await house.until_read(job)).state == "extracted"

    heartbeat = await its_heartbeat(house)
    assert heartbeat.service == "extractor"
    slots = house.settings.extract_slots + house.settings.resolve_slots
    assert heartbeat.jobs is not None and heartbeat.jobs.max == slots
    assert heartbeat.threads is not None and heartbeat.threads.max == house.settings.http_worker_threads
    async with aiohttp.ClientSession(f"http://{heartbeat.address}") as client:
        for path in ("/health/live", "/health/ready"):
            async with client.get(path) as response:
                assert response.status == 200
        async with client.get("/metrics") as response:
            body = await response.text()
    assert 'orchard_extractions_total{protocol="pypi",reason="",state="extracted"} 1.0' in body

    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(30):
        assert await process.wait() == 0
    assert await read_health(house.queue_redis) == []
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    (read,) = [line for line in lines if line["event"] == "artifact_read"]
    assert read["request_id"] == "request-42"
    assert lines[-1]["event"] == "extractor_stopped"


async def test_process__killed_with_a_job__another_one_reads_it(
    house: House, process: asyncio.subprocess.Process, store_settings: dict[str, str], tmp_path: Path
) -> None:
    await its_heartbeat(house)
    job = await house.keep("demo-1.0-py3-none-any.whl", build_wheel("demo", "1.0"))
    await house.queue.enqueue(job)
    process.kill()
    await process.wait()
    second = await start(store_settings, tmp_path / "second")
    try:
        assert (await house.until_read(job)).state == "extracted"
    finally:
        second.terminate()
        assert second.stderr is not None
        await second.stderr.read()
        assert await second.wait() == 0


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"ORCHARD_EXTRACT_SLOTS": "none"}, "ORCHARD_EXTRACT_SLOTS: "),
        ({"ORCHARD_EXTRACT_SLOT": "2"}, "ORCHARD_EXTRACT_SLOT: unknown setting; did you mean"),
        ({"ORCHARD_DATABASE_URL": ""}, "ORCHARD_DATABASE_URL: "),
        ({"ORCHARD_DATA_DIR": "/proc/nowhere"}, "ORCHARD_DATA_DIR: "),
    ],
)
async def test_process__bad_setting__one_line_and_exit_2(
    store_settings: dict[str, str], tmp_path: Path, environment: dict[str, str], message: str
) -> None:
    process = await start({**store_settings, **environment}, tmp_path / "log")
    _, errors = await process.communicate()
    assert process.returncode == 2
    (line,) = errors.decode().splitlines()
    assert line.startswith(message)


async def test_run__stopped_at_once__ends(house: House) -> None:
    stop = asyncio.Event()
    stop.set()
    async with asyncio.timeout(30):
        await run(house.settings, stop)


async def test_pending_artifact__its_job_was_lost__queued_again(house: House) -> None:
    job = await house.keep("demo-1.0-py3-none-any.whl", build_wheel("demo", "1.0"))
    sweep = PendingSweep(house.database, house.queue, limit=100, young_seconds=0)
    assert await sweep.sweep() == 1
    assert (await house.queue.depths())["extract"].ready == 1
    assert await sweep.sweep() == 1  # coalesced with the one that waits
    assert (await house.queue.depths())["extract"].ready == 1
    young = PendingSweep(house.database, house.queue, limit=100)
    assert await young.sweep() == 0  # its own job is on its way
    stop = asyncio.Event()
    running = asyncio.create_task(run(house.settings, stop))
    try:
        await house.until_read(job)
    finally:
        stop.set()
        with contextlib.suppress(asyncio.CancelledError):
            await running
    assert await sweep.sweep() == 0


async def test_pending_artifacts__more_than_a_page_never_read__those_behind_have_their_turn(
    house: House,
) -> None:
    for version in ("1.0", "2.0", "3.0"):
        await house.keep(f"demo-{version}-py3-none-any.whl", build_wheel("demo", version))
    sweep = PendingSweep(house.database, house.queue, limit=100, young_seconds=0, page_rows=2)
    assert (await sweep.sweep(), (await house.queue.depths())["extract"].ready) == (2, 2)
    assert (await sweep.sweep(), (await house.queue.depths())["extract"].ready) == (1, 3)
    assert await sweep.sweep() == 2  # from the start again
