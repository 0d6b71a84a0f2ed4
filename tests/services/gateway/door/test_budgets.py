"""Work for one client is bounded, by token or address; hits, joined work and other clients are not."""

from __future__ import annotations

import asyncio
import urllib.error
import urllib.request
from pathlib import Path
from typing import cast

import pytest

from services.gateway.door.access import Access
from services.gateway.door.budgets import WINDOW_SECONDS, Budgets, Window, asking
from shared.access.repository import AccessRepository
from shared.errors.passing import BudgetSpent
from shared.queue.jobs import FetchArtifact, FetchIndex
from shared.settings import Settings
from tests.services.gateway.conftest import Stores
from tests.support.gateway import GatewayProcess, running_gateway


async def _ask(gateway: GatewayProcess, path: str, client: str = "203.0.113.1") -> tuple[int, str]:
    answer = await asyncio.to_thread(gateway.request, path, x_forwarded_for=client)
    return answer.status, answer.headers.get("retry-after", "") if b"client_budget" in answer.body else ""


async def test_budgets__invented_names__503_that_says_when_and_hits_go_on(
    store_settings: dict[str, str], stores: Stores, tmp_path: Path
) -> None:
    await stores.put_index("flask")
    settings = {**store_settings, "ORCHARD_CLIENT_MISSES": "3", "ORCHARD_REQUEST_TIMEOUT": "0.3"}
    with running_gateway(settings, tmp_path) as gateway:
        paths = [f"/pypi/simple/invented-{number}/" for number in range(5)]
        told = [(await _ask(gateway, path))[1] for path in paths]
        assert told[:3] == ["", "", ""]
        assert all(0 < int(each) <= 60 for each in told[3:])
        hit = await asyncio.to_thread(
            gateway.request, "/pypi/simple/flask/", x_forwarded_for="203.0.113.1",
            accept="application/vnd.pypi.simple.v1+json",
        )  # fmt: skip
        assert hit.status == 200
        assert (await _ask(gateway, paths[4], client="203.0.113.2"))[1] == ""
        for client, spent in (("2001:db8::1", 3), ("2001:db8::ffff", 0)):  # one /64
            told = [(await _ask(gateway, path, client=client))[1] for path in paths]
            assert told.count("") == spent


async def test_budgets__resolutions__counted_apart(store_settings: dict[str, str], tmp_path: Path) -> None:
    settings = {**store_settings, "ORCHARD_CLIENT_STARTS": "1", "ORCHARD_CLIENT_MISSES": "0"}
    settings["ORCHARD_REQUEST_TIMEOUT"] = "0.3"

    def post(gateway: GatewayProcess, number: int) -> bytes:
        body = b'{"protocol":"pypi","requirements":["flask"],"max_depth":%d}' % number
        request = urllib.request.Request(
            f"http://127.0.0.1:{gateway.port}/api/v1/resolve", body, {"content-type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            return error.read()

    with running_gateway(settings, tmp_path) as gateway:
        answers = [await asyncio.to_thread(post, gateway, number) for number in (1, 2)]
        assert [b"client_budget" in each for each in answers] == [False, True], answers
        for number in range(4):
            assert (await _ask(gateway, f"/pypi/simple/n-{number}/"))[1] == ""


def test_budgets__bytes_of_cold_files__counted_by_client_and_pages_go_on() -> None:
    access = Access(Settings(), cast(AccessRepository, None))
    budgets = Budgets(Settings(client_cold_bytes=1000), access)
    file, page = FetchArtifact("pypi", "demo", "a" * 64, "demo.whl"), FetchIndex("pypi", "simple/demo")
    for client in ("192.0.2.1", "192.0.2.2"):
        asking.set(({"client": (client, 1)}, {}))
        for _ in range(2):
            budgets.start(file)
            budgets.came(600)
        with pytest.raises(BudgetSpent):
            budgets.start(file)
        budgets.start(page)


def test_window__slides__what_was_before_counts_less_and_less() -> None:
    now = 10.0 * WINDOW_SECONDS
    window = Window(10, now=lambda: now)
    window.count("a", 10)
    assert window.wait_seconds("a") == WINDOW_SECONDS
    assert window.wait_seconds("b") == 0
    now = 11.0 * WINDOW_SECONDS
    assert 0 < window.wait_seconds("a") <= 10
    now = 11.5 * WINDOW_SECONDS
    window.count("a", 4)
    assert window.wait_seconds("a") == 0
    window.count("a")
    assert window.wait_seconds("a") > 0
    now = 13.0 * WINDOW_SECONDS
    assert window.wait_seconds("a") == 0
