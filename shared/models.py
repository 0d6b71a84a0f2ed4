"""The values that pass between layers and processes. Frozen, with units in their names.

MessagePack on the wire (`msgspec.msgpack`); each stored value starts with a format number so
that a service one version back or ahead treats what it does not know as a miss (ARCHITECTURE.md
"State").
"""

from __future__ import annotations

from typing import Literal

import msgspec

from shared.sources.options import SourceOptions

FORMAT = 1
"""Format number of every cached value and job. Raised when a field changes its meaning."""

MOST_REVISION = 2**42
"""Revisions of sources and access are at least the clock in milliseconds: this is the year 2109. A higher
number was never given out."""

AHEAD_SECONDS = 600
"""No clock is ahead of the truth by more: a time further ahead comes from a wrong clock."""


class FileName(msgspec.Struct, frozen=True, order=True):
    """What names a file: in rows, jobs and caches, and in what a client asks for.

    Its version is what its protocol reads out of these (`Grammar.version_asked`): with a part that is known
    here and not there one file would have two names.
    """

    protocol: str
    project: str  # normalised
    file_id: str  # SHA256 hex, or the stable id (docs/decisions/0003)
    filename: str

    @property
    def identity(self) -> str:
        """Names it within its protocol: the cache identifier of its facts, a part of its jobs' ids."""
        return f"{self.project}/{self.file_id}/{self.filename}"


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
    token: str = ""  # sent as its protocol says (`Upstream.authorization`)
    credential_hosts: tuple[str, ...] = ()  # that get the credentials, besides its own
    fault: str = ""  # why the credentials cannot be opened: the source is not asked then
    include: tuple[str, ...] = ()  # fnmatch patterns on normalised names; a match binds the name here
    exclude: tuple[str, ...] = ()  # names never asked here
    allowed_hosts: tuple[str, ...] = ()  # extra hosts that files may come from; () = any global address
    allow_private: bool = False  # may resolve to loopback or private addresses
    limits: SourceLimits = SourceLimits()
    options: SourceOptions = SourceOptions()
    document: object = None  # what it says of itself, as its protocol reads that; filled in by the fetcher

    def __repr__(self) -> str:  # a log line or traceback must not show the password
        return f"UpstreamSource(id={self.id}, protocol={self.protocol!r}, name={self.name!r})"


class BreakerState(msgspec.Struct, frozen=True, omit_defaults=True):
    """An open breaker of a source; shared by all processes through the cache. While its pause runs no
    request is sent. After it one process probes an address that answered before, and either closes the
    breaker or begins the next pause. No state means closed. The end of the pause is an expiry in Redis
    (`SourceStates`), never an hour of the day: clocks differ and step.
    """

    format: int
    source_id: int
    state: Literal["open", "half_open"]
    until: float  # unix seconds, for services one version back alone; `left_seconds` counts
    reason: str = ""  # an error code: "upstream_rate_limited", "upstream_timeout", …
    retry_after_seconds: int = 0  # as the upstream said; 0 when it said nothing
    name: str = "index"  # what is left alone: see services/fetcher/sources/breakers.py
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
    variants: dict[str, VariantInfo] = {}
    failing: bool = False  # the last refresh failed; served as STALE until one succeeds
    retry_at: float = 0.0  # while failing: do not enqueue a refresh before this (unix seconds)
    bodies_generation: int = 0  # generation that wrote the bodies; a 304 raises only `generation`
    blocks: str = ""  # stamp of the blocks that the bodies were made under (shared/policy/policy.py)
    reason: str = ""  # of a 404: why, for a person, where more than "nobody has it" is to be said
    stale_seconds: int = -1  # how long it may be served stale, 0 = no limit; -1: as ORCHARD_STALE_LIMIT says
    modified: str = ""  # Last-Modified of the bodies, as the source told; "": it does not stand for them
    edition: int = 0  # of the document that the bodies were made of (`Documents.edition_of`)
    rules: str = ""  # stamp of the rules that the bodies were made under, as `blocks`
    due: float = 0.0  # unix seconds: the bodies lack a version that may be shown from then on; 0: none
    made_at: float = 0.0  # unix seconds: when the bodies were made; 0: by a fetcher that did not say so

    refused: str = ""  # why nobody gets the bodies: a rule is against the name, and leaves nothing of them
    counterpart: int = 0  # of a page in a view: `bodies_generation` of the plain page that it stands for

    def is_made_of(self, revision: int) -> bool:
        """Whether no source has changed since: one may be disabled now. 0: the revision is unknown."""
        return self.source_revision >= revision


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
    holder: FileEntry | None = None  # of metadata: the file that it can be read out of; then `url` may be ""
    signature_url: str = ""  # where a detached signature of it may lie; "": nowhere


class SealedFile(msgspec.Struct, frozen=True, omit_defaults=True):
    """One stored file of a project: merged into the page when it is rendered."""

    filename: str
    file_id: str
    sha256: str
    size_bytes: int
    metadata_sha256: str = ""  # of the stored core metadata; advertised from then on
    digests: dict[str, str] = {}  # further hashes kept at ingest: algorithm → hex
    stored_at: float = 0.0  # unix seconds
    published: float = 0.0  # as in `StoredFile`
    judged: str = ""  # as in `StoredFile`
    licence: str | None = None  # as in `Extraction`


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


class IndexState(msgspec.Struct, frozen=True):
    """What the rows say of an index and of its project."""

    document: StoredDocument | None
    pinned: frozenset[int]  # the only sources that may be asked; empty: any
    sealed: list[SealedFile]


# --- artifacts ------------------------------------------------------------------------------------

Role = Literal["file", "metadata", "provisional"]
"""Of a stored file: a package's, or metadata of one (`….metadata`), as the stored file holds it, or as it was
read before that was stored (docs/decisions/0033)."""


class SourceHeaders(msgspec.Struct, frozen=True, omit_defaults=True):
    """Headers of an upstream's response with a file that are sent again with the file."""

    modified: float = 0.0  # unix seconds: Last-Modified; 0: it did not say
    headers: dict[str, str] = {}  # those that its protocol keeps (`kept_headers`), by lower-case name


NO_SOURCE_HEADERS = SourceHeaders()


class StoredFile(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="format", tag=FORMAT):
    """What is stored under a file's name, and all that is needed to serve it: made of rows, cached for ever,
    carried by the event that ends its fetch."""

    sha256: str
    size_bytes: int
    content_type: str
    object_key: str
    filename: str
    created_at: float = 0.0  # unix seconds: when its row was made; 0: it has none yet
    digests: dict[str, str] = {}  # algorithm → hex of the protocol's `kept_digests`, beside SHA256
    modified: float = 0.0  # as in `SourceHeaders`
    headers: dict[str, str] = {}  # as in `SourceHeaders`
    provisional: bool = False  # metadata that was read before its file was stored: it may turn out wrong
    published: float = 0.0  # unix seconds: when it counts as published (shared/policy/age.py); 0: unknown
    judged: str = ""  # what the policy file came to, and under which rules (shared/policy/content.py `told`)

    @property
    def stored_at(self) -> float:
        """As in `SealedFile`."""
        return self.created_at


class Standing(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the policy has to know of a file that its address does not tell; as in `SealedFile`."""

    published: float = 0.0
    judged: str = ""
    sha256: str = ""  # of one that is not stored, as its index tells it
    stored_at: float = 0.0  # of its row; its object may be gone


NO_STANDING = Standing()

_decode_stored = msgspec.msgpack.Decoder(StoredFile).decode


def decode_stored(raw: bytes) -> StoredFile | None:
    """Out of the cache or an event; None for nothing, and for what this version cannot read."""
    try:
        return _decode_stored(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


class CachedUrl(msgspec.Struct, frozen=True):
    """A row to be made in `cached_urls`: a name, what is stored under it, and where that came from."""

    file: FileName
    stored: StoredFile
    generation: int
    source_id: int = 0
    upstream_url: str = ""  # without credentials and query
    role: Role = "file"
    checked: dict[str, str] = {}  # what told the digest that the bytes have ("index", …) → its algorithm


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


class StandingFile(msgspec.Struct, frozen=True):
    """What the rows say of a file that is to be read, and of its metadata."""

    stored: StoredFile
    state: ExtractionState
    has_metadata: bool  # a row stands for its metadata document
    provisional_sha256: str  # of what was read before the file was stored; "": nothing was, or it is pinned
    document_key: str  # of the last good document of the index that lists it; "": there is none


class BuildNeeds(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a source archive tells of the environment that it is built in before it is installed."""

    requirements: tuple[str, ...] = ()  # as written, or the client's defaults where it tells none
    reason: str = ""  # why nobody can tell; "": that is all of them


class Extraction(msgspec.Struct, frozen=True, omit_defaults=True):
    """The result of extracting one artifact. Only `extracted` is cached for ever."""

    sha256: str
    state: ExtractionState
    reason: str = ""  # for unknown and unextractable
    name: str = ""
    version: str = ""
    requires_python: str = ""
    dependencies: tuple[Dependency, ...] = ()
    extras: tuple[str, ...] = ()
    model: bytes = b""  # what the resolver needs of it; opaque
    licence: str | None = None  # as it is told, an SPDX expression mostly; "": it tells none; None: not known
    licence_at: tuple[str, str, str] | None = None  # the file that tells it instead: project, file id, name
