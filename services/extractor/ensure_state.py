"""What an ensure in the making consists of: the state saved between two runs of its job, and what one
process remembers beside it, found again from the stores if another process goes on."""

from __future__ import annotations

import msgspec

from shared.jobs import FetchArtifact, FetchIndex
from shared.models import ArtifactFacts
from shared.protocols.resolution import Resolution


class Failure(msgspec.Struct, frozen=True):
    """Why a job's result cannot be had."""

    reason: str
    passing: bool


class EnsureProgress(msgspec.Struct):
    """The saved state; also what people who wait are shown of it."""

    started_at: float  # unix seconds
    phase: str = "resolving"  # then "fetching"
    files_known: int = 0
    files_ready: int = 0
    bytes_known: int = 0
    bytes_ready: int = 0
    documents: int = 0  # about as many as the finished resolutions read
    resolving: list[str] = []  # keys of the resolutions that are waited for
    asked: dict[str, float] = {}  # job id → when it was asked for, unix seconds; only those that run
    retried: dict[str, int] = {}  # job id → how often it was asked for again
    seen: dict[str, int] = {}  # job id → generation of its last failure
    paused_until: float = 0.0  # unix seconds: an upstream said to slow down
    failed: dict[str, Failure] = {}  # job id → why


class WantedFile(msgspec.Struct, frozen=True):
    """A file that the lock names."""

    job: FetchArtifact
    version: str
    sha256: str = ""  # as the graph tells it, "" where it does not
    size_bytes: int = 0  # 0: not told


class EnsureWork:
    """Of one ensure, in one process."""

    def __init__(self) -> None:
        self.resolutions: dict[str, Resolution] = {}
        self.files: dict[str, WantedFile] | None = None  # by job id; None before everything is resolved
        self.indexes: dict[str, FetchIndex] = {}  # by job id: pages that are not stored yet
        self.facts: dict[str, ArtifactFacts] = {}  # by job id: what is stored of `files`

    def count(self, progress: EnsureProgress) -> None:
        """Bring the figures that are shown up to date."""
        files = self.files or {}
        progress.files_known, progress.files_ready = len(files), len(self.facts)
        progress.bytes_ready = sum(facts.size_bytes for facts in self.facts.values())
        progress.bytes_known = progress.bytes_ready + sum(
            file.size_bytes for job_id, file in files.items() if job_id not in self.facts
        )
