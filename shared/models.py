"""The values that pass between layers and processes. Frozen, with units in their names.

MessagePack on the wire (`msgspec.msgpack`); each stored value starts with a format number so
that a service one version back or ahead treats what it does not know as a miss (ARCHITECTURE.md
"State").
"""

from __future__ import annotations

from typing import Literal

import msgspec

from shared.source_options import SourceOptions

FORMAT = 1
"""Format number of every cached value and job. Raised when a field changes its meaning."""

MOST_REVISION = 2**42
"""Revisions of sources and access are at least the clock in milliseconds: this is the year 2109. A higher
number was never given out."""

AHEAD_SECONDS = 600
"""No clock is ahead of the truth by more: a time further on was told by one that is wrong."""


# --- upstream sources ---------------------------------------------------------------------------


class SourceLimits(msgspec.Struct, frozen=True, omit_defaults=True):
    """Per-source overrides; 0 means the service-wide setting."""

    max_connections: int = 0
    read_timeout_seconds: float = 0.0


class UpstreamSource(msgspec.Struct, frozen=True, omit_defaults=True):
    """One row of `upstream_sources`. `url` holds no credentials: they are in the two fields."""

    id: int
    protocol: str
    name: str
    url: str
    priority: int = 100  # lower is asked first
    enabled: bool = True
    username: str = ""
    password: str = ""
    token: str = ""  # sent as Bearer, where the upstream wants that
    fault: str = ""  # why the credentials cannot be opened: the source is not asked then
    include: tuple[str, ...] = ()  # fnmatch patterns on normalised names; a match binds the name here
    exclude: tuple[str, ...] = ()  # names never asked here
    allowed_hosts: tuple[str, ...] = ()  # extra hosts that files may come from; () = any global address
    allow_private: bool = False  # may resolve to loopback or private addresses
    limits: SourceLimits = SourceLimits()
    options: SourceOptions = SourceOptions()

    def __repr__(self) -> str:  # a log line or traceback must not show the password
        return f"UpstreamSource(id={self.id}, protocol={self.protocol!r}, name={self.name!r})"


class BreakerState(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why something of a source is not asked just now; shared by all processes through the cache.

    While its pause runs nobody asks. After it one process asks something that is known to be good, and
    either ends this or begins the next pause. No state at all means that all is well. The end of the
    pause is an expiry in Redis (`SourceStates`), never an hour of the day: clocks differ and step.
    """

    format: int
    source_id: int
    state: Literal["open", "half_open"]
    until: float  # unix seconds, for services one version back alone; `left_seconds` counts
    reason: str = ""  # an error code: "upstream_rate_limited", "upstream_timeout", …
    retry_after_seconds: int = 0  # as the upstream said; 0 when it said nothing
    name: str = "index"  # what is left alone: see services/fetcher/breakers.py
    message: str = ""  # the error's own words
    pauses: int = 0  # begun so far, one after the other
    left_seconds: float = 0.0  # of the pause, when this was read; 0: over


# --- index documents ----------------------------------------------------------------------------


class VariantInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """One finished body of an index page: a representation in a content-coding."""

    etag: str  # strong, with quotes
    size_bytes: int
    content_type: str
    object_key: str = ""  # set when the body (> 256 KiB) lives in the object store


class IndexHead(msgspec.Struct, frozen=True, omit_defaults=True):
    """The small value beside an index page's bodies. Freshness is here, not in Redis's expiry.

    `status` 200: `variants` are served. 404: the upstream truly lacks it (negative entry).
    """

    format: int
    status: int
    generation: int
    source_revision: int
    source_id: int
    fetched_at: float  # unix seconds: when the upstream last confirmed it
    fresh_until: float  # unix seconds
    document_key: str = ""  # object key of the last good document
    upstream_etag: str = ""
    upstream_last_modified: str = ""
    variants: dict[str, VariantInfo] = {}
    failing: bool = False  # the last refresh failed; served as STALE until one succeeds
    retry_at: float = 0.0  # while failing: do not enqueue a refresh before this (unix seconds)
    bodies_generation: int = 0  # generation that wrote the bodies; a 304 raises only `generation`
    blocks: str = ""  # stamp of the blocks that the bodies were made under (shared/blocks.py)
    reason: str = ""  # of a 404: why, for a person, where more than "nobody has it" is to be said


class FileEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One file of an index document, as the fetcher needs it to download."""

    filename: str
    url: str  # absolute, at the upstream
    file_id: str  # SHA256 hex, or the stable id (docs/decisions/0003)
    hashes: dict[str, str] = {}  # algorithm → hex, as the upstream says
    size_bytes: int | None = None
    metadata_hashes: dict[str, str] | None = None  # None: upstream offers no core metadata
    content_type: str = "application/octet-stream"
    checksum_urls: dict[str, str] = {}  # algorithm → address of its checksum file, the preferred first


class SealedFile(msgspec.Struct, frozen=True, omit_defaults=True):
    """What Orchard holds of one file of a project: merged into the page when it is rendered."""

    filename: str
    file_id: str
    sha256: str
    size_bytes: int
    metadata_sha256: str = ""  # of the stored core metadata; advertised from then on
    digests: dict[str, str] = {}  # further hashes kept at ingest: algorithm → hex


class StoredDocument(msgspec.Struct, frozen=True, omit_defaults=True):
    """The row `index_documents`: where the last good document of an index lies."""

    protocol: str
    identity: str
    source_id: int
    generation: int
    document_key: str
    fetched_at: float
    upstream_etag: str = ""
    upstream_last_modified: str = ""
    gone_at: float = 0.0  # unix seconds since when its source truly answers 404; 0: it does not
    doubted_at: float = 0.0  # since when it answers 404 and is not believed; 0: it does not


# --- artifacts ------------------------------------------------------------------------------------


class ArtifactFacts(msgspec.Struct, frozen=True, omit_defaults=True):
    """All a gateway needs to serve a sealed artifact; cached for ever."""

    format: int
    sha256: str
    size_bytes: int
    content_type: str
    object_key: str
    filename: str
    created_at: float = 0.0  # unix seconds: when it was stored
    digests: dict[str, str] = {}  # algorithm → hex of the protocol's `kept_digests`, beside SHA256
    modified: float = 0.0  # unix seconds: the upstream's Last-Modified; 0: it did not say


class CachedUrl(msgspec.Struct, frozen=True, omit_defaults=True):
    """One row of `cached_urls` joined with its artifact, as written by the fetcher."""

    protocol: str
    project: str
    file_id: str
    filename: str
    sha256: str
    size_bytes: int
    content_type: str
    object_key: str
    generation: int
    source_id: int = 0
    upstream_url: str = ""  # without credentials and query
    role: Literal["file", "metadata"] = "file"
    created_at: float = 0.0
    digests: dict[str, str] = {}  # as in `ArtifactFacts`
    modified: float = 0.0  # as in `ArtifactFacts`


# --- dependencies ---------------------------------------------------------------------------------


class Dependency(msgspec.Struct, frozen=True, omit_defaults=True):
    """One declared dependency of an artifact (PEP 508 terms; other protocols map onto them)."""

    position: int  # order of declaration, from 0
    requirement: str  # as declared
    name: str  # canonical
    specifier: str = ""
    marker: str = ""
    extras: tuple[str, ...] = ()
    optional: bool = False  # reachable only through an extra (or an optional dependency)
    kind: str = "runtime"


ExtractionState = Literal["pending", "extracted", "unknown", "unextractable"]


class Extraction(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was read out of one artifact. Only `extracted` is cached for ever."""

    sha256: str
    state: ExtractionState
    reason: str = ""  # for unknown and unextractable
    name: str = ""
    version: str = ""
    requires_python: str = ""
    dependencies: tuple[Dependency, ...] = ()
    extras: tuple[str, ...] = ()
    model: bytes = b""  # what `PackageProxyBase.derive` needs of it; opaque
