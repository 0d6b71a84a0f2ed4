"""What a resolution in the making knows: what it has asked for, and what its jobs came to."""

from __future__ import annotations

from typing import Any

import msgspec

from shared.error_catalogue import is_final
from shared.events import Event
from shared.jobs import AnyJob
from shared.protocols.resolution import Absent, Document, Unavailable

OWN_TROUBLE = frozenset(f"{store}_unavailable" for store in ("cache", "queue", "database", "store")) | {
    "deadline_exceeded",
    "queue_full",
    "shutting_down",
    "superseded",
}
"""Errors that say nothing about the upstream: such a job is asked for again."""


class Progress(msgspec.Struct):
    """What a resolution must remember between two runs of its job, whichever process has the next."""

    started_at: float  # unix seconds
    steps: int = 0
    known: int = 0  # documents, for people who wait
    wanted: int = 0
    solver_seconds: float = 0.0
    asked: dict[str, float] = {}  # job id → when first asked for, unix seconds
    retried: dict[str, int] = {}  # job id → how often it was asked for again
    stale: list[str] = []  # projects whose page is older than it may be, its refresh having failed


class Brought(msgspec.Struct):
    """What one round brought, and the jobs that must end before the rest is there."""

    found: dict[Document, Any]
    jobs: list[AnyJob]


def failure_of(event: Event) -> Absent | Unavailable:
    """Why a document is not there, by how its job ended."""
    if event.error is None:
        return Unavailable("its job failed")
    text = f"{event.error.code}: {event.error.message}"
    return Absent(text) if is_final(event.error.code) else Unavailable(text)
