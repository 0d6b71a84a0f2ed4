"""`Upstream` and `Forwarding`: requests to a source, lifetimes of what it sends, and forwarded requests."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from typing import ClassVar

import msgspec

from shared.models import FileEntry, FileName, UpstreamSource
from shared.policy.advisories import Advisory

SOURCE_DOCUMENT = "#source"  # what `Upstream.lifetime` is asked for a source's document


class UpstreamRequest(msgspec.Struct, frozen=True):
    """How to ask one upstream for one index document."""

    url: str
    accept: str = "*/*"
    headers_only: bool = False  # the document is made of what the headers say of a file (`FileHeaders`)
    file: bool = False  # it is a file, which may lie on another host; not a page, which says what there is


class FileHeaders(msgspec.Struct, frozen=True):
    """An upstream's response headers of a file: the body that `read_index` gets, as JSON."""

    etag: str = ""
    last_modified: str = ""
    content_length: str = ""
    date: str = ""


class Lifetime(msgspec.Struct, frozen=True):
    """Freshness of fetched documents, in seconds; None: by the settings."""

    fresh: float | None = None  # ORCHARD_CACHE_TTL_INDEX; ±10 %, like that
    absent: float | None = None  # ORCHARD_CACHE_TTL_NEGATIVE
    stale: int | None = None  # ORCHARD_STALE_LIMIT, beyond `fresh`; 0: without limit


class Upstream(ABC):
    """Addresses at a source."""

    kept_digests: ClassVar[tuple[str, ...]] = ()  # hashes kept of every file beside SHA256 (hashlib's names)
    kept_headers: ClassVar[tuple[str, ...]] = ()
    """Response headers of files that are kept and sent again with every answer (OCI's Docker-Content-Digest),
    in lower case; none of those that Orchard says itself (length, type, validators, caching)."""

    absent_statuses: ClassVar[frozenset[int]] = frozenset()
    """Statuses by which an index says, besides 404 and 410, that it does not have a project."""

    @abstractmethod
    def upstream_request(self, identity: str, source: UpstreamSource) -> UpstreamRequest:
        """Address and Accept header of an index at one source."""

    def authorization(self, token: str) -> str:
        """The Authorization header for a source's token."""
        return f"Bearer {token}"  # RFC 6750 §2.1

    def source_document(self, source_url: str) -> UpstreamRequest | None:
        """Where a source says of itself where things are (Cargo's config.json); None: nowhere. It is known as
        `source.document` to whatever gets a source."""
        return None

    def read_source_document(self, body: bytes) -> object:
        """What such a document says. Raises `UpstreamInvalid` for what is none. Addresses in it need no look:
        each request to one passes the egress checks."""
        raise NotImplementedError

    def direct_entry(self, source: UpstreamSource, file: FileName) -> FileEntry | None:
        """For layouts where a file's address follows from its name (Maven): the file at one source.
        None where an index lists the files."""
        return None

    def digests_told(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Algorithm → hex of the digests that a source's response headers tell of a file (`direct_entry`)."""
        return {}

    def lifetime(self, identity: str) -> Lifetime:
        """Of an index, of a file's absence (`Resource.absence_identity`), or of `SOURCE_DOCUMENT`, of which
        `fresh` alone counts."""
        return Lifetime()


class Passed(msgspec.Struct, frozen=True):
    """What is left of a client's request that is passed on: the body to send, or, where nothing may be
    asked, the answer to give `instead`."""

    body: bytes = b""
    instead: bytes = b""


class Forwarding:
    """Forwards nothing by default."""

    def passes_on(self, method: str, path: str) -> bool:
        """Whether a request of this kind is passed on: what the protocol's grammar makes a
        `Resource.forward_path` of, and nothing else."""
        return False

    def named_in(self, path: str, body: bytes) -> frozenset[str]:
        """All that may be a project's name in a request that is passed on (`Resource.forward_path`).

        Raises `MalformedRequest` if it cannot be read: then it is not passed on.
        """
        return frozenset()

    def without_names(self, path: str, body: bytes, withheld: Collection[str]) -> Passed:
        """The same request without names that the asked source must not learn of.

        Raises `UpstreamRefused` where what is left would be answered, but not what was asked.
        """
        raise NotImplementedError

    def audited(self, path: str, body: bytes, told: Callable[[str], tuple[Advisory, ...]]) -> bytes | None:
        """The answer to a request for an audit, from all advisories that are `told` of a project; None: it
        asks for something else. Raises `MalformedRequest`."""
        return None

    def check_passed(self, path: str, body: bytes) -> None:
        """Raises `UpstreamInvalid` for a success whose body a client would take for "nothing found", and
        that does not say so."""
