"""The queue's contract: which jobs exist, what they carry, in which queue they run.

Payloads hold identifiers only, never a secret and never a body. A job can run twice: each is
idempotent, and what it writes is fenced by the generation of its claim. One job id per thing
fetched: that is what makes 64 clients one upstream request.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

INDEX = "index"
ARTIFACT = "artifact"
REFRESH = "refresh"  # shed first under load
EXTRACT = "extract"
RESOLVE = "resolve"
QUEUES = (INDEX, ARTIFACT, REFRESH, EXTRACT, RESOLVE)


class Job(msgspec.Struct, frozen=True, tag_field="job", omit_defaults=True):
    """Base of all payloads. `request_id` follows the work through gateway, fetcher, extractor."""

    queue: ClassVar[str]

    @property
    def id(self) -> str:
        """Unique per thing to do; equal ids coalesce."""
        raise NotImplementedError


class FetchIndex(Job, frozen=True, tag="fetch_index"):
    """Ask the upstream for an index document, render it, store it."""

    queue: ClassVar[str] = INDEX
    protocol: str
    identity: str
    background: bool = False  # True: runs in `refresh`; same id, so it coalesces with a miss
    base_url: str = ""  # finish the bodies of this address too, where bodies hold absolute URLs
    request_id: str = ""
    via: str = ""  # installations that the request came through (shared/via.py)

    @property
    def id(self) -> str:
        return f"index:{self.protocol}:{self.identity}"


class RenderIndex(Job, frozen=True, tag="render_index"):
    """Render bodies again from the last good document, without asking upstream.

    Shares the id of `FetchIndex`'s key space with another prefix; both write under one
    generation fence, so the newer wins.
    """

    queue: ClassVar[str] = INDEX
    protocol: str
    identity: str
    base_url: str = ""  # for protocols whose bodies hold absolute URLs
    request_id: str = ""

    @property
    def id(self) -> str:
        return f"render:{self.protocol}:{self.identity}:{self.base_url}"


class FetchArtifact(Job, frozen=True, tag="fetch_artifact"):
    """Download one file, verify, store, write its row; its bytes are relayed meanwhile."""

    queue: ClassVar[str] = ARTIFACT
    protocol: str
    project: str
    file_id: str
    filename: str
    request_id: str = ""
    via: str = ""  # installations that the request came through (shared/via.py)
    abandonable: bool = False  # only clients who read the bytes meanwhile want it: pointless without them

    @property
    def id(self) -> str:
        return f"artifact:{self.protocol}:{self.project}/{self.file_id}/{self.filename}"


class DescribeArtifact(Job, frozen=True, tag="describe_artifact"):
    """Find the size of a file that is not stored yet (a cold HEAD), without downloading it."""

    queue: ClassVar[str] = INDEX
    protocol: str
    project: str
    file_id: str
    filename: str
    request_id: str = ""
    via: str = ""  # installations that the request came through (shared/via.py)

    @property
    def id(self) -> str:
        return f"describe:{self.protocol}:{self.project}/{self.file_id}/{self.filename}"


class ExtractDependencies(Job, frozen=True, tag="extract_dependencies"):
    """Read metadata and dependencies out of a stored artifact; back-fill its core metadata."""

    queue: ClassVar[str] = EXTRACT
    protocol: str
    project: str
    file_id: str
    filename: str
    sha256: str
    request_id: str = ""

    @property
    def id(self) -> str:
        return f"extract:{self.protocol}:{self.sha256}"


class Resolve(Job, frozen=True, tag="resolve"):
    """Work out the dependency graph of an artifact or of a list of requirements, and keep it."""

    queue: ClassVar[str] = RESOLVE
    protocol: str
    key: str  # of the request below (shared/protocols/resolution.py): what the result is kept under
    artifact: str = ""  # SHA256 of the root file, or
    requirements: tuple[str, ...] = ()  # the roots, as the protocol spells them
    max_depth: int = 0
    include_optional: bool = False
    environment: str = ""
    as_of: str = ""
    refresh: bool = False  # compute again and replace what is kept
    request_id: str = ""

    @property
    def id(self) -> str:
        return f"resolve:{self.protocol}:{self.key}"


class Ensure(Job, frozen=True, tag="ensure"):
    """Resolve an ensure file, have every chosen file fetched, and keep the lock."""

    queue: ClassVar[str] = RESOLVE
    key: str  # of the canonical ensure file: what the lock is kept under
    document: str  # the canonical ensure file, as JSON (shared/ensure_file.py)
    refresh: bool = False  # resolve again and replace what is kept
    request_id: str = ""

    @property
    def id(self) -> str:
        return f"ensure:{self.key}"


class DeriveDependencies(Job, frozen=True, tag="derive_dependencies"):
    """No longer made; known so that old ones can be dropped (services/extractor/jobs/retired.py)."""

    queue: ClassVar[str] = EXTRACT
    protocol: str
    sha256: str
    turn: int = 0

    @property
    def id(self) -> str:
        return f"derive:{self.protocol}:{self.sha256}:{self.turn}"


AnyJob = FetchIndex | RenderIndex | FetchArtifact | DescribeArtifact | ExtractDependencies | Resolve | Ensure


def queue_of(job: AnyJob) -> str:
    """The queue a job belongs in."""
    if isinstance(job, FetchIndex) and job.background:
        return REFRESH
    return job.queue
