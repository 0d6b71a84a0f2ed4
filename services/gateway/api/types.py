"""The values of the read API under /api/v1: what OpenAPI describes and clients may rely on.

Fields are only ever added. Times are unix seconds, sizes bytes, digests lower-case hex.
"""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

from shared.protocols import PROTOCOLS

T = TypeVar("T")


class Page(msgspec.Struct, Generic[T], frozen=True):
    """One page of a list. `next`: the cursor of the following page, "" on the last one."""

    items: list[T]
    next: str = ""


class ArtifactName(msgspec.Struct, frozen=True):
    """One name under which the bytes were served."""

    protocol: str
    project: str
    filename: str
    purl: str
    role: str  # "file"; "metadata", a file's core metadata; "provisional", that before the file was stored
    path: str  # where this Orchard serves it
    source: str  # name of the upstream source it came from, also of one that was removed
    upstream_url: str  # its address there, without credentials and query; "" for what was made here
    upstream_modified_at: float  # the upstream's Last-Modified in unix seconds; 0: it did not say
    first_seen_at: float


class Artifact(msgspec.Struct, frozen=True):
    """A stored file, by its content."""

    sha256: str
    size_bytes: int
    content_type: str
    name: str  # as its metadata says; "" until it was extracted
    version: str
    requires_python: str
    extras: list[str]
    extraction_state: str  # pending, extracted, unknown, unextractable
    extraction_reason: str
    first_seen_at: float
    names: list[ArtifactName]  # at most 100, the oldest first


class DependencyItem(msgspec.Struct, frozen=True):
    """One declared dependency, in the order of declaration."""

    position: int
    requirement: str
    name: str
    specifier: str
    marker: str
    extras: list[str]
    optional: bool
    kind: str


class Dependent(msgspec.Struct, frozen=True):
    """A stored file that declares a dependency on the name asked for."""

    sha256: str
    project: str
    version: str
    filename: str
    purl: str
    requirement: str
    optional: bool
    kind: str


class Package(msgspec.Struct, frozen=True):
    """A package of which something was served."""

    name: str
    purl: str
    first_seen_at: float


class PackageFile(msgspec.Struct, frozen=True):
    """One stored file of a package."""

    filename: str
    version: str  # as its metadata says; "" until it was extracted
    sha256: str
    size_bytes: int
    purl: str
    path: str
    extraction_state: str
    first_seen_at: float


class ResolutionProgress(msgspec.Struct, frozen=True):
    """The body of a 202: ask `location` again after `retry_after_seconds`."""

    status: str  # "working"
    key: str
    location: str
    retry_after_seconds: int
    steps: int = 0
    documents_known: int = 0
    documents_wanted: int = 0


class EnsureProgress(msgspec.Struct, frozen=True):
    """The body of a 202 to an ensure file: ask `location` again after `retry_after_seconds`."""

    status: str  # "working"
    key: str
    location: str
    retry_after_seconds: int
    phase: str  # "resolving", then "fetching"
    files_known: int = 0
    files_ready: int = 0
    bytes_known: int = 0  # grows where a registry tells no sizes
    bytes_ready: int = 0
    documents_known: int = 0  # while resolving: of all running resolutions
    documents_wanted: int = 0


class ResolveRequest(msgspec.Struct, frozen=True):
    """The body of `POST /api/v1/resolve`."""

    requirements: list[str]
    protocol: str = PROTOCOLS[0].name
    max_depth: int = 0  # 0: the default
    include_optional: bool = False
    environment: str = ""  # "": the protocol's default
    as_of: str = ""  # RFC 3339; "": as the indexes are now
    refresh: bool = False  # needs a token


class Input(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of bodies that are sent here: a misspelt field is an error, not silence."""

    def __repr__(self) -> str:  # several hold secrets, and a traceback shows its values
        return f"{type(self).__name__}(…)"


class Removed(msgspec.Struct, frozen=True):
    """The id of what was removed."""

    removed: str
