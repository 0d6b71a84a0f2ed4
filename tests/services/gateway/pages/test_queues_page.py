"""The page /ui/queues in a real Chromium: live, on a desk and on a phone, and what it says when it is not."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from pathlib import Path

import pytest

from services.standalone.redis_server import EmbeddedRedis
from shared.errors.passing import QueueUnavailable
from shared.queue.context import JobContext
from shared.queue.jobs import QUEUES, FetchIndex
from shared.queue.producer import JobQueue
from shared.queue.worker import QueueWorker
from tests.shared.queue.queue_support import new_worker, queue_client, running
from tests.support.chromium import Page, chromium, needs_chromium
from tests.support.gateway import running_gateway
from tests.support.stores import address_of, own_redis

PHONE, DESK = (390, 844), (1280, 900)
FITS = "document.documentElement.scrollWidth <= window.innerWidth"


def _pictures(tmp_path: Path) -> Path:
    """Where screenshots go: to keep them, name a folder in ORCHARD_TEST_PICTURES."""
    folder = Path(os.environ.get("ORCHARD_TEST_PICTURES") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


async def _work(server: EmbeddedRedis, stop: asyncio.Event) -> None:
    """Jobs that come in gusts, and a worker that takes some time over each."""
    client = queue_client(address_of(server))
    queue = JobQueue(client)
    chance = random.Random(1)

    async def handler(_: JobContext, __: FetchIndex) -> None:
        await asyncio.sleep(0.05 + chance.random() / 5)

    def worker(name: str, slots: int) -> QueueWorker:
        return new_worker(client, handler, queue=name, slots=slots)

    try:
        async with running(worker("index", 3), worker("refresh", 2)):
            for number in range(100_000):
                if stop.is_set():
                    break
                for each in range(chance.choice((0, 2, 9, 20))):
                    name = f"{number}-{each}"
                    work = FetchIndex(protocol="pypi", identity=name, background=chance.random() < 0.3)
                    with contextlib.suppress(QueueUnavailable):  # on a busy machine, now and then
                        await queue.enqueue(work)
                await asyncio.sleep(0.4)
    finally:
        await client.aclose()


async def _shows(page: Page, picture: Path, size: tuple[int, int], *, dark: bool) -> None:
    await page.resize(*size, dark=dark)
    assert await page.evaluate(FITS), f"it must not scroll sideways at {size[0]} pixels"
    assert (await page.screenshot(picture)).stat().st_size > 10_000


@needs_chromium
@pytest.mark.slow
async def test_queues_page__in_chromium__is_live_fits_and_says_when_it_is_not(
    store_settings: dict[str, str], tmp_path: Path
) -> None:
    pictures = _pictures(tmp_path)
    with own_redis(tmp_path / "queue", "queue") as server:
        address = address_of(server)
        settings = store_settings | {
            "ORCHARD_QUEUE_REDIS_PORT": str(address.port),
            "ORCHARD_QUEUE_REDIS_PASSWORD": address.password,
        }
        stop = asyncio.Event()
        working = asyncio.create_task(_work(server, stop))
        async with chromium(tmp_path) as page:
            with running_gateway(settings, tmp_path) as gateway:
                await page.resize(*DESK)
                await page.call("Page.navigate", url=f"http://127.0.0.1:{gateway.port}/ui/queues")
                await page.until("document.getElementById('state')?.dataset.state === 'live'")
                await page.until("Number(document.getElementById('total-finished').textContent) > 0")
                wanted = int(os.environ.get("ORCHARD_TEST_SAMPLES", "3"))
                await page.until(f"samples.length >= {wanted}", seconds=20 + 2 * wanted)
                assert await page.evaluate("document.querySelectorAll('.chart canvas').length") == 4
                assert await page.evaluate("document.querySelectorAll('#rows tr').length") == len(QUEUES)
                await _shows(page, pictures / "queues-desk.png", DESK, dark=False)
                await _shows(page, pictures / "queues-desk-dark.png", DESK, dark=True)
                await _shows(page, pictures / "queues-phone.png", PHONE, dark=False)
                assert page.complaints == [], "nothing that the policy refuses, no error in a script"

                stop.set()
                await working
                server.kill()
                await page.until("document.getElementById('state').dataset.state === 'stale'")
                assert "does not answer" in await page.evaluate(
                    "document.getElementById('state').textContent"
                ) or "failed" in await page.evaluate("document.getElementById('state').textContent")
                await page.until("document.querySelector('main').hasAttribute('data-stale')")
                server.start()
                await page.until("document.getElementById('state').dataset.state === 'live'")
                port = gateway.port
            await page.until("document.getElementById('state').dataset.state === 'lost'")
            await page.until("document.querySelector('main').hasAttribute('data-stale')")
            await _shows(page, pictures / "queues-lost.png", PHONE, dark=True)
            with running_gateway(settings, tmp_path, port=port):
                await page.until("document.getElementById('state').dataset.state === 'live'", seconds=40)
