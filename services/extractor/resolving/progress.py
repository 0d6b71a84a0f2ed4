"""The saved state of running resolutions and ensures: the jobs they have enqueued, and their outcomes.

An ensure's is the state saved between two runs of its job, and what one process remembers beside it, found
again from the stores if another process goes on.
"""

from __future__ import annotations

from typing import Any

import msgspec

from shared.errors import (
    Blocked,
    DigestMismatch,
    FileNotFound,
    Malware,
    ProjectNotFound,
    RefusedByPolicy,
    TooYoung,
    TrustDowngrade,
)
from shared.errors.catalogue import is_final
from shared.models import BuildNeeds, FileName, StoredFile
from shared.protocols.resolution import Absent, Document, Resolution, ResolutionRequest, Unavailable
from shared.protocols.roles.pins import Pin
from shared.queue.events import Event
from shared.queue.jobs import AnyJob, FetchArtifact, FetchIndex

OWN_TROUBLE = frozenset(f"{store}_unavailable" for store in ("cache", "queue", "database", "store")) | {
    "deadline_exceeded",
    "queue_full",
    "shutting_down",
    "superseded",
}
"""Errors that say nothing about the upstream: such a job is asked for again."""

CAUSES = {
    **dict.fromkeys((ProjectNotFound.code, FileNotFound.code), "absent"),
    **dict.fromkeys(
        (Blocked.code, TooYoung.code, Malware.code, RefusedByPolicy.code, TrustDowngrade.code), "refused"
    ),
    DigestMismatch.code: "differs",
}
"""What a job's error means for a pin (`Missing.cause`), by its code; all others: "failed"."""


class Progress(msgspec.Struct):
    """What is saved between two runs of the job, which any process may continue."""

    started_at: float  # unix seconds
    steps: int = 0
    known: int = 0  # documents, for people who wait
    wanted: int = 0
    solver_seconds: float = 0.0
    asked: dict[str, float] = {}  # job id → when first asked for, unix seconds
    retried: dict[str, int] = {}  # job id → how often it was asked for again
    stale: list[str] = []  # projects whose page is older than it may be, its refresh having failed


class Brought(msgspec.Struct):
    """The documents that one round found, and the jobs that must end before the rest is available. `stamps`:
    what tells the content of a document from any other; without one, it may be another by the hour."""

    found: dict[Document, Any]
    jobs: list[AnyJob]
    stamps: dict[Document, str] = {}


def failure_of(event: Event) -> Absent | Unavailable:
    """Why a document is missing, by the outcome of its job."""
    if event.error is None:
        return Unavailable("its job failed")
    text = f"{event.error.code}: {event.error.message}"
    return Absent(text) if is_final(event.error.code) else Unavailable(text)


class Failure(msgspec.Struct, frozen=True):
    """The failure of a job."""

    reason: str
    passing: bool


class Lacking(msgspec.Struct, frozen=True):
    """Why a pin's file is not there. `cause`: as in `Missing`."""

    cause: str
    reason: str
    passing: bool = False

    @classmethod
    def of(cls, failure: Failure) -> Lacking:
        """Of the failure of a job. What an upstream lacks is absent, what a rule refuses refused."""
        code = failure.reason.partition(":")[0]
        return cls(CAUSES.get(code, "failed"), failure.reason, failure.passing)


class EnsureProgress(msgspec.Struct):
    """The saved state; a part of it is shown to those who wait."""

    started_at: float  # unix seconds
    phase: str = "resolving"  # then "fetching"
    files_known: int = 0
    files_ready: int = 0
    bytes_known: int = 0
    bytes_ready: int = 0
    documents: int = 0  # documents read by the finished resolutions
    resolving: list[str] = []  # keys of the resolutions that are waited for
    asked: dict[str, float] = {}  # job id → when it was asked for, unix seconds; only those that run
    retried: dict[str, int] = {}  # job id → how often it was asked for again
    seen: dict[str, int] = {}  # job id → generation of its last failure
    paused_until: float = 0.0  # unix seconds: an upstream said to slow down
    failed: dict[str, Failure] = {}  # job id → why
    refused: list[str] = []  # keys of resolutions that named what may not be served: worked out anew
    asked_to_resolve: dict[str, float] = {}  # as `asked`, of resolutions
    building_since: float = 0.0  # unix seconds: what files are built with is resolved too from then on
    unbuildable: dict[str, str] = {}  # key of such a resolution that has no answer → why


class WantedFile(msgspec.Struct, frozen=True):
    """A file that the lock names."""

    job: FetchArtifact
    version: str
    sha256: str = ""  # from the graph; "" where it has none
    size_bytes: int = 0  # 0: unknown


BuildRequest = tuple[ResolutionRequest | None, list[tuple[str, str]]]
"""What is to be resolved for some build requirements, and those that cannot be, each with the reason."""


class EnsureWork:
    """What one process remembers of one ensure."""

    def __init__(self) -> None:
        self.resolutions: dict[str, Resolution] = {}
        self.files: dict[str, WantedFile] | None = None  # by job id; None before everything is resolved
        self.pins: dict[str, dict[Pin, FileName | Lacking]] = {}  # of a lock input, by protocol
        self.indexes: dict[str, FetchIndex] = {}  # by job id: pages that are not stored yet
        self.facts: dict[str, StoredFile] = {}  # by job id: what is stored of `files`
        self.needs: dict[str, BuildNeeds] = {}  # by SHA256: what source archives are built with
        self.build_requests: dict[tuple[str, ...], BuildRequest] = {}  # by protocol and requirements

    def count(self, progress: EnsureProgress) -> None:
        """Bring the figures that are shown up to date."""
        files = self.files or {}
        progress.files_known, progress.files_ready = len(files), len(self.facts)
        progress.bytes_ready = sum(facts.size_bytes for facts in self.facts.values())
        progress.bytes_known = progress.bytes_ready + sum(
            file.size_bytes for job_id, file in files.items() if job_id not in self.facts
        )
