"""A child that runs and answers nobody is started again; one that answers badly is left alone."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from services.standalone import child
from services.standalone.child import Child, ChildSpec
from services.standalone.guard import Guard
from services.standalone.processes import Launch
from services.standalone.table import status_of


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[Guard]:
    descriptor = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    guard = Guard(descriptor)
    guard.open()
    yield guard
    guard.close()
    os.close(descriptor)


async def _pids(
    guard: Guard, tmp_path: Path, alive: Callable[[], Awaitable[bool]], *, probes: int
) -> tuple[list[int], int]:
    """The pids of all starts, in order, until so many looks; and how often it was looked."""
    pids: list[int] = []
    looks = 0
    enough = asyncio.Event()

    async def ready(pid: int) -> bool:
        return True

    async def look() -> bool:
        nonlocal looks
        looks += 1
        if looks >= probes:
            enough.set()
        return await alive()

    def launch() -> Launch:
        pids.append(len(pids))
        return Launch([sys.executable, "-c", "import time; time.sleep(60)"])

    one = Child(ChildSpec("sleeper", launch, ready, signal.SIGTERM, alive=look), tmp_path / "log", guard)
    await one.start()
    try:
        await asyncio.wait_for(enough.wait(), 20)
    finally:
        await one.stop(asyncio.get_running_loop().time() + 5)
    return pids, looks


async def test_child__answers_nobody__is_killed_and_started_again(
    guard: Guard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(child, "PROBE_SECONDS", 0.01)
    monkeypatch.setattr(child, "FIRST_BACKOFF_SECONDS", 0.01)

    async def frozen() -> bool:
        return False

    starts, _ = await _pids(guard, tmp_path, frozen, probes=3 * child.SILENT_PROBES)
    assert len(starts) >= 2
    assert "sleeper has not answered for" in capsys.readouterr().out


async def test_child__misses_a_few_looks__is_left_alone(
    guard: Guard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "PROBE_SECONDS", 0.01)
    answers = iter(([False] * (child.SILENT_PROBES - 1) + [True]) * 20)

    async def slow() -> bool:
        return next(answers, True)

    starts, _ = await _pids(guard, tmp_path, slow, probes=5 * child.SILENT_PROBES)
    assert len(starts) == 1


@pytest.mark.parametrize(("answer", "status"), [(b"HTTP/1.1 503 x\r\n\r\n", b"503"), (b"", b"")])
async def test_status_of__any_answer_is_one(answer: bytes, status: bytes) -> None:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        assert await status_of("127.0.0.1", port, "/") == status
