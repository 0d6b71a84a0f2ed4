"""The admin API: how full the disk is, what is stored, how fast that grows, and what eviction does."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import get

from shared.errors.passing import QueueUnavailable
from shared.objects.measured import Amount, Measured, growth_bytes_per_day, read_measured
from shared.process.disk import Disk
from shared.redis.client import RedisClient
from shared.settings import Settings
from shared.worker.heartbeat import read_health

SHOWN = 48  # counts of the history: evenly over the time it has


class WorkerDisk(msgspec.Struct, frozen=True):
    """The disk of one worker's data folder; workers of one machine show the same one."""

    service: str
    instance: str
    free_bytes: int
    total_bytes: int
    floor_bytes: int  # below it files are not stored, but passed on; 0: no floor
    state: str  # well, low (files are evicted), short (nothing new is stored)


class Point(msgspec.Struct, frozen=True):
    """One count of the history."""

    at: float  # unix seconds
    object_bytes: int
    database_bytes: int
    disk_free_bytes: int  # -1: not known


class DiskReport(msgspec.Struct, frozen=True):
    """All that is known of room. What housekeeping has not counted yet is null."""

    disks: list[WorkerDisk]
    measured_at: float | None
    stored: dict[str, Amount]  # by folder: artifacts, documents, variants
    database_bytes: int | None
    growth_bytes_per_day: float | None  # of objects and database, over the last week
    full_in_days: (
        float | None
    )  # until the fullest disk is at its floor, if it goes on so; null: it does not grow
    evict_days: int  # 0: no such bound
    evict_bytes: int  # 0: no such bound
    evicts: bool  # false: nothing is ever evicted here
    history: list[Point]  # the oldest first


@get("/api/v1/admin/disk", summary="How full the disk is, and how fast it fills")
async def disk(queue_redis: RedisClient, settings: Settings) -> DiskReport:
    """Without the queue Redis, which holds the figures, everything of them is empty."""
    try:
        history = await read_measured(queue_redis)
        heartbeats = await read_health(queue_redis)
    except QueueUnavailable:
        history, heartbeats = [], []
    disks = [_disk(each, each.disk) for each in heartbeats if each.disk is not None]
    return report(disks, history, settings)


def report(disks: list[WorkerDisk], history: list[Measured], settings: Settings) -> DiskReport:
    """Of disks and of counts, the newest first."""
    newest = history[0] if history else None
    growth = growth_bytes_per_day(history)
    room = min((each.free_bytes - each.floor_bytes for each in disks), default=None)
    full = max(0.0, room / growth) if room is not None and growth is not None and growth > 0 else None
    step = -(-len(history) // SHOWN) or 1
    return DiskReport(
        disks=disks,
        measured_at=newest.at if newest else None,
        stored=newest.folders if newest else {},
        database_bytes=newest.database_bytes if newest else None,
        growth_bytes_per_day=growth,
        full_in_days=full,
        evict_days=settings.evict_days,
        evict_bytes=settings.evict_bytes or 0,
        evicts=not settings.offline,
        history=[
            Point(each.at, each.object_bytes, each.database_bytes, each.disk_free_bytes)
            for each in reversed(history[::step])
        ],
    )


def _disk(worker: Any, found: Disk) -> WorkerDisk:
    state = "short" if found.is_short else "low" if found.is_low else "well"
    return WorkerDisk(
        worker.service, worker.instance, found.free_bytes, found.total_bytes, found.floor_bytes, state
    )


HANDLERS = [disk]
