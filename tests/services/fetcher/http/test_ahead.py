"""Connections made before they are needed: to where a source's files were, and nowhere else."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from services.fetcher.http import ahead
from services.fetcher.http.ahead import MOST_ORIGINS, Ahead
from services.fetcher.http.manager import HttpClientManager
from shared.errors.passing import UpstreamUnavailable
from shared.models import UpstreamSource
from tests.services.fetcher.http.conftest import BODY
from tests.support.upstream import Fault, Upstream

OWN = ("https", "index.example.com", 443)
FILES = ("https", "files.example.com", 443)


@pytest_asyncio.fixture
async def manager() -> AsyncIterator[HttpClientManager]:
    async with HttpClientManager() as opened:
        yield opened


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "PAUSE_SECONDS", 0.0)


async def _get(manager: HttpClientManager, source: UpstreamSource, url: str) -> None:
    fetched = await manager.fetch(source, url, max_bytes=10**6, deadline_seconds=10)
    assert fetched.body == BODY


@pytest.mark.usefixtures("no_pause")
async def test_source_asked_after_a_pause__the_host_of_its_files_is_connected_to(
    upstream: Upstream, manager: HttpClientManager
) -> None:
    with upstream.twin() as files:
        files.put("/file", BODY)
        files.put("/last", BODY)
        files.fault("/last", Fault(cut_at=0))  # which ends the connection
        source = UpstreamSource(1, "pypi", "test", f"{upstream.url}/simple/")
        for path in ("/file", "/last"):
            with contextlib.suppress(UpstreamUnavailable):
                await _get(manager, source, files.url + path)
        while files.open_connections:
            await asyncio.sleep(0.01)
        await _get(manager, source, f"{upstream.url}/file")
        while not files.open_connections:
            await asyncio.sleep(0.01)
        made = manager.stats().connects
        await _get(manager, source, f"{upstream.url}/file")  # there is a connection: no further one
        await _get(manager, source, f"{files.url}/file")
        assert manager.stats().connects == made


@pytest.mark.usefixtures("no_pause")
async def test_source_changed__its_hosts_are_forgotten(
    upstream: Upstream, manager: HttpClientManager
) -> None:
    with upstream.twin() as files:
        files.put("/file", BODY)
        source = UpstreamSource(1, "pypi", "test", f"{upstream.url}/simple/")
        await _get(manager, source, f"{files.url}/file")
        await manager.forget(1)
        await _get(manager, source, f"{upstream.url}/file")
        assert manager.stats().connects == 2


@pytest.mark.usefixtures("no_pause")
async def test_host_of_files_went_away__nobody_notices(
    upstream: Upstream, manager: HttpClientManager
) -> None:
    source = UpstreamSource(1, "pypi", "test", f"{upstream.url}/simple/")
    with upstream.twin() as files:
        files.put("/file", BODY)
        await _get(manager, source, f"{files.url}/file")
    for _ in range(3):
        await _get(manager, source, f"{upstream.url}/file")
        await asyncio.sleep(0.05)
    assert manager.stats().active == 0


def test_asked__twice_without_a_pause__once(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(ahead, "monotonic", lambda: now)
    known = Ahead()
    assert known.asked(1, OWN, OWN) == []
    assert known.asked(1, OWN, FILES) == []
    assert known.asked(1, OWN, OWN) == []
    now += ahead.PAUSE_SECONDS
    assert known.asked(2, OWN, OWN) == []
    assert known.asked(1, OWN, OWN) == ["https://files.example.com:443/"]
    assert known.asked(1, OWN, OWN) == []
    now += ahead.REMEMBERED_SECONDS
    assert known.asked(1, OWN, OWN) == []


def test_asked__index_names_any_number_of_hosts__few_are_remembered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ahead, "PAUSE_SECONDS", 0.0)
    known = Ahead()
    for number in range(1000):
        known.asked(1, OWN, ("https", f"files-{number}.example.com", 443))
    known.asked(1, OWN, ("https", "fd00::1", 8443))
    assert len(known.asked(1, OWN, OWN)) == MOST_ORIGINS - 1
    assert known.asked(1, OWN, OWN)[-1] == "https://[fd00::1]:8443/"
