"""What goes wrong during the campaign. Each fault begins, lasts, and is mended by itself."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import resource
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import redis

from tests.soak.system import System
from tests.support.upstream import Fault as Broken
from tests.support.upstream import Upstream


@dataclass(frozen=True)
class Scene:
    """What a fault may touch."""

    system: System
    upstream: Upstream
    chance: random.Random


@dataclass(frozen=True)
class Fault:
    """`run` harms, waits and mends; it returns when the harm is over."""

    name: str
    run: Callable[[Scene], Awaitable[None]]
    possible: Callable[[Scene], bool] = lambda _: True


async def _lasting(low: float, high: float, scene: Scene) -> None:
    await asyncio.sleep(scene.chance.uniform(low, high))


# --- processes --------------------------------------------------------------------------------------


def _kills(*parts: str) -> Fault:
    async def run(scene: Scene) -> None:
        for part in parts:
            scene.system.signal(part, signal.SIGKILL)

    return Fault(f"killed: {' + '.join(parts)}", run)


def _freezes(part: str) -> Fault:
    async def run(scene: Scene) -> None:
        pids = scene.system.pids(part)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        try:
            await _lasting(3, 10, scene)
        finally:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    return Fault(f"frozen: {part}", run)


def _limited(part: str, limit: int, room: Callable[[int], int], name: str) -> Fault:
    async def run(scene: Scene) -> None:
        old: dict[int, tuple[int, int]] = {}
        for pid in scene.system.pids(part):
            with contextlib.suppress(ProcessLookupError):
                old[pid] = resource.prlimit(pid, limit)
                resource.prlimit(pid, limit, (room(pid), old[pid][1]))
        try:
            await _lasting(5, 10, scene)
        finally:
            for pid, before in old.items():
                with contextlib.suppress(ProcessLookupError):
                    resource.prlimit(pid, limit, before)

    return Fault(f"{name}: {part}", run)


def _few_descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir())) + 3


def _little_memory(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
    return pages * os.sysconf("SC_PAGE_SIZE") + 8 * 2**20


# --- stores -----------------------------------------------------------------------------------------


def _on_redis(name: str, role: str, harm: Callable[[redis.Redis], None]) -> Fault:
    async def run(scene: Scene) -> None:
        with contextlib.suppress(redis.RedisError), contextlib.closing(scene.system.redis(role)) as server:
            harm(server)

    return Fault(f"{name}: redis-{role}", run)


def _out_of_memory(role: str) -> Fault:
    async def run(scene: Scene) -> None:
        with contextlib.suppress(redis.RedisError), contextlib.closing(scene.system.redis(role)) as server:
            before = server.config_get("maxmemory")["maxmemory"]
            server.config_set("maxmemory", "1mb")
            try:
                await _lasting(4, 8, scene)
            finally:
                server.config_set("maxmemory", before)

    return Fault(f"out of memory: redis-{role}", run)


def _cut_clients(server: redis.Redis) -> None:
    for kind in ("normal", "pubsub"):
        server.client_kill_filter(_type=kind, skipme=True)


def _wrong_types(server: redis.Redis) -> None:
    for key in [key for _, key in zip(range(5), server.scan_iter("orchard:*"), strict=False)]:
        life = server.pttl(key)
        server.delete(key)
        server.rpush(key, "of", "another", "type")
        if life > 0:
            server.pexpire(key, life)


def _garbage(server: redis.Redis) -> None:
    for key in [key for _, key in zip(range(20), server.scan_iter("orchard:package_index:*"), strict=False)]:
        server.set(key, b"\x00garbage", keepttl=True)


async def _restored(scene: Scene) -> None:
    """A backup of the database comes back beside living Redis servers; services are restarted."""
    await scene.system.sql("UPDATE source_revisions SET revision = revision - 60000")
    for part in ("gateway", "fetcher", "extractor"):
        scene.system.signal(part, signal.SIGKILL)


async def _broken_backends(scene: Scene) -> None:
    pids = scene.system.pids("postgres")[1:]
    if pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(scene.chance.choice(pids), signal.SIGKILL)


# --- objects and disk -------------------------------------------------------------------------------


def _objects(name: str, harm: Callable[[Path], None]) -> Fault:
    async def run(scene: Scene) -> None:
        stored = scene.system.objects()
        for path in scene.chance.sample(stored, min(5, len(stored))):
            with contextlib.suppress(OSError):
                harm(path)

    return Fault(name, run)


def _shorten(path: Path) -> None:
    path.chmod(0o644)
    os.truncate(path, path.stat().st_size - 1)


def _empty(path: Path) -> None:
    path.chmod(0o644)
    os.truncate(path, 0)


def _lengthen(path: Path) -> None:
    path.chmod(0o644)
    with path.open("ab") as file:
        file.write(b"!")


def _replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


async def _full_disk(scene: Scene) -> None:
    filler = scene.system.folder / "filler"
    try:
        file = os.open(filler, os.O_WRONLY | os.O_CREAT)
        try:
            for piece in (2**24, 4096):
                with contextlib.suppress(OSError):
                    while os.write(file, bytes(piece)):
                        pass
        finally:
            os.close(file)
        await _lasting(5, 10, scene)
    finally:
        filler.unlink(missing_ok=True)


def _has_own_disk(scene: Scene) -> bool:
    return os.path.ismount(scene.system.folder)


# --- upstream ---------------------------------------------------------------------------------------


def _upstream(name: str, broken: Broken, low: float = 5, high: float = 12, *, share: float = 1.0) -> Fault:
    async def run(scene: Scene) -> None:
        paths = ["*"]
        if share < 1:
            known = list(scene.upstream._replies)
            paths = scene.chance.sample(known, int(len(known) * share))
        for path in paths:
            scene.upstream.fault(path, broken)
        try:
            await _lasting(low, high, scene)
        finally:
            scene.upstream.heal()

    return Fault(f"upstream: {name}", run)


# --- clock ------------------------------------------------------------------------------------------


def _clock(seconds: int) -> Fault:
    async def run(scene: Scene) -> None:
        scene.system.move_clock(seconds)
        await _lasting(8, 12, scene)
        scene.system.move_clock(0)

    return Fault(f"wall clock {seconds:+d} s", run, lambda scene: scene.system.has_clock)


FAULTS: tuple[Fault, ...] = (
    *(_kills(part) for part in ("gateway", "fetcher", "extractor", "redis-cache", "redis-queue", "postgres")),
    _kills("redis-cache", "redis-queue", "postgres"),
    _kills("gateway", "fetcher", "extractor"),
    *(
        _freezes(part)
        for part in ("gateway", "fetcher", "extractor", "redis-cache", "redis-queue", "postgres")
    ),
    *(
        _limited(part, resource.RLIMIT_NOFILE, _few_descriptors, "out of descriptors")
        for part in ("gateway", "fetcher")
    ),
    _limited("fetcher", resource.RLIMIT_AS, _little_memory, "out of memory"),
    *(_on_redis("emptied", role, lambda server: server.flushall()) for role in ("cache", "queue")),
    *(_on_redis("connections cut", role, _cut_clients) for role in ("cache", "queue")),
    *(_out_of_memory(role) for role in ("cache", "queue")),
    _on_redis("values of another type", "cache", _wrong_types),
    _on_redis("garbage", "cache", _garbage),
    Fault("database restored from a backup", _restored),
    Fault("a database backend killed", _broken_backends),
    _objects("objects one byte short", _shorten),
    _objects("objects emptied", _empty),
    _objects("objects one byte long", _lengthen),
    _objects("objects removed", lambda path: path.unlink()),
    _objects("objects unreadable", lambda path: path.chmod(0)),
    _objects("folders in objects' places", _replace_by_folder),
    Fault("disk full", _full_disk, _has_own_disk),
    _upstream("refuses", Broken(cut_at=0, reset=True, status=200)),
    _upstream("silent", Broken(silent=True)),
    _upstream("503", Broken(status=503)),
    _upstream("503 for a third of its paths", Broken(status=503), share=0.33),
    _upstream("429, come back in 2 s", Broken(status=429, headers={"retry-after": "2"}), 3, 6),
    _upstream("403", Broken(status=403)),
    _upstream("third of its answers cut", Broken(cut_at=1000), share=0.33),
    _upstream("third of its answers cut at once", Broken(cut_at=0), share=0.33),
    _upstream("third of its answers with a wrong byte", Broken(flip_at=500), share=0.33),
    _upstream("slow", Broken(bytes_per_second=200_000, delay_seconds=0.3)),
    _upstream("login pages", Broken(body=b"<html>please log in", content_type="text/html"), share=0.33),
    _clock(-3600),
    _clock(600),
)
