"""The gauges of the queues, for the next scrape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from shared.telemetry.metrics import QUEUE_JOBS, QUEUE_OLDEST_JOB_AGE


class HasDepth(Protocol):
    """`QueueDepth` of the queue client."""

    @property
    def ready(self) -> int:
        """Due and unclaimed."""

    @property
    def running(self) -> int:
        """Claimed."""

    @property
    def deferred(self) -> int:
        """Due later."""

    @property
    def dead(self) -> int:
        """Given up."""

    @property
    def oldest_age_seconds(self) -> float:
        """How long the oldest ready job has been due."""


def set_queue_depths(depths: Mapping[str, HasDepth]) -> None:
    """Set the gauges from `JobQueue.depths`, for the next scrape."""
    for queue, depth in depths.items():
        QUEUE_JOBS.labels(queue, "ready").set(depth.ready)
        QUEUE_JOBS.labels(queue, "running").set(depth.running)
        QUEUE_JOBS.labels(queue, "deferred").set(depth.deferred)
        QUEUE_JOBS.labels(queue, "dead").set(depth.dead)
        QUEUE_OLDEST_JOB_AGE.labels(queue).set(depth.oldest_age_seconds)
