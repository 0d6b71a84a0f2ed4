"""`PackageProxyBase`: what a protocol supplies, and the two flows that all protocols share.

A protocol is pure: bytes and paths in, values out. It supplies a grammar (`classify`), the
upstream's addresses (`upstream_request`), a reader and a renderer of index documents, and a
reader of dependencies. Everything with I/O in it is in the base (over `ports`) or in services.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import Any, BinaryIO, ClassVar

import msgspec

from shared.blocks import ProjectBlocks
from shared.errors import OrchardError
from shared.models import Extraction, FileEntry, SealedFile, UpstreamSource
from shared.protocols import flows
from shared.protocols.conditions import Conditions
from shared.protocols.ports import ForwardRequest, Ports, Reply
from shared.protocols.resolution import Resolver
from shared.protocols.resource import Redirect, Resource

__all__ = [
    "FileHeaders",
    "IndexDocument",
    "PackageProxyBase",
    "Passed",
    "Redirect",
    "Rendering",
    "Resource",
    "UpstreamRequest",
]


class UpstreamRequest(msgspec.Struct, frozen=True):
    """How to ask one upstream for one index document."""

    url: str
    accept: str = "*/*"
    headers_only: bool = False  # the document is made of what the headers say of a file (`FileHeaders`)
    file: bool = False  # it is a file, which may lie on another host; not a page, which says what there is


class FileHeaders(msgspec.Struct, frozen=True):
    """What an upstream's headers say of a file: the body that `read_index` gets, as JSON."""

    etag: str = ""
    last_modified: str = ""
    content_length: str = ""
    date: str = ""


class IndexDocument(msgspec.Struct, frozen=True):
    """A document as read from an upstream: `body` is the canonical form that is kept.

    Canonical means: all URLs absolute at the upstream, unknown keys kept, decodable by
    `decode_document` for ever (or refused by its format number).
    """

    body: bytes
    dropped: tuple[str, ...] = ()  # entries refused with the reason (foreign schemes and such): counted


class Rendering(msgspec.Struct, frozen=True):
    """One finished representation, identity-coded, and the content-codings that it is kept in."""

    body: bytes
    content_type: str
    codings: tuple[str, ...] = ("identity", "gzip")


class Passed(msgspec.Struct, frozen=True):
    """What is left of a client's request that is passed on: the body to send, or, where nothing may be
    asked, the answer to give `instead`."""

    body: bytes = b""
    instead: bytes = b""


class PackageProxyBase(ABC):
    """One package protocol. Instances are stateless and shared."""

    name: ClassVar[str]  # "pypi": also the path prefix and the key segment
    purl_type: ClassVar[str]
    kept_digests: ClassVar[tuple[str, ...]] = ()  # hashes kept of every file beside SHA256 (hashlib's names)

    # --- grammar (gateway) --------------------------------------------------------------------

    @abstractmethod
    def classify(
        self, method: str, raw_path: bytes, query: bytes, headers: Mapping[bytes, bytes]
    ) -> Resource | Redirect:
        """The resource that a request names.

        `raw_path` is the undecoded path below the protocol's mount point, with its leading slash
        (b"/simple/flask/"); `headers` has lower-case names. Raises `MalformedRequest`,
        `RouteNotFound`, `NotAcceptable`, `UriTooLong` before any key is made.
        """

    def is_root_relative(self, raw_path: bytes) -> bool:
        """Whether a path from the host's root, below no mount point, can only be one that this protocol's
        clients make of an address below the mount point. Such a path goes to `classify` as it is."""
        return False

    @abstractmethod
    def index_identity(self, project: str) -> str:
        """The identity of the index that lists a project's files."""

    @abstractmethod
    def artifact_resource(self, project: str, file_id: str, filename: str) -> Resource:
        """The resource of one file, as `classify` would give it."""

    @abstractmethod
    def artifact_path(self, project: str, file_id: str, filename: str) -> str:
        """Where a file is served, below the mount point, with a leading slash."""

    def canonical_name(self, name: str) -> str:
        """The one spelling of a project's name."""
        return name

    def is_project_name(self, text: str) -> bool:
        """Whether a project can have this name, in whatever spelling."""
        return bool(text)

    def canonical_version(self, version: str) -> str:
        """The one spelling of a version, under which it is blocked."""
        return version

    def version_asked(self, resource: Resource) -> str:
        """The canonical version that a request names, "" where it names none, or several."""
        return self.canonical_version(resource.version) if resource.version else ""

    def without_blocked(
        self,
        identity: str,
        body: bytes,
        blocks: ProjectBlocks,
        sealed: Mapping[tuple[str, str], SealedFile],
    ) -> bytes:
        """The canonical bytes of a document without what is blocked of its project; `body` itself where
        nothing of it is there. Raises `Blocked` for a document that is about one blocked version."""
        return body

    def error_fields(self, error: OrchardError) -> dict[str, str]:
        """What this protocol's clients read in the body of an error, beside the problem document."""
        return {}

    # --- the two flows (gateway) ----------------------------------------------------------------

    async def serve_index(self, resource: Resource, conditions: Conditions, ports: Ports) -> Reply:
        """Check cache → have it fetched → serve. Raises `OrchardError` when there is nothing to serve."""
        return await flows.serve_index(resource, conditions, ports)

    async def serve_artifact(self, resource: Resource, conditions: Conditions, ports: Ports) -> Reply:
        """Check facts → have it fetched, relaying it meanwhile → serve. Raises `OrchardError`."""
        return await flows.serve_artifact(resource, conditions, ports)

    async def serve_forward(
        self, resource: Resource, request: ForwardRequest, ports: Ports, *, head: bool = False
    ) -> Reply:
        """Pass on what is never cached → serve. Raises `OrchardError` where nobody answers."""
        return await flows.serve_forward(resource, request, ports, head=head)

    # --- upstream (fetcher) -------------------------------------------------------------------

    def passes_on(self, method: str, path: str) -> bool:
        """Whether a request of this kind is passed on: what the protocol's grammar makes a
        `Resource.forward_path` of, and nothing else."""
        return False

    def told_names(self, path: str, body: bytes) -> frozenset[str]:
        """All that may be a project's name in a request that is passed on (`Resource.forward_path`).

        Raises `MalformedRequest` if it cannot be read: then it is not passed on.
        """
        return frozenset()

    def without_names(self, path: str, body: bytes, withheld: Collection[str]) -> Passed:
        """The same request without names that the asked source must not learn of.

        Raises `UpstreamRefused` where what is left would be answered, but not what was asked.
        """
        raise NotImplementedError

    def check_passed(self, path: str, body: bytes) -> None:  # noqa: B027  # most pass on nothing
        """Raises `UpstreamInvalid` for a success whose body a client would take for "nothing found", and
        that does not say so."""

    @abstractmethod
    def project_of(self, identity: str) -> str:
        """The normalised project of an index identity ("" for a list of all projects)."""

    def noun_of(self, identity: str) -> str:
        """What a person calls the thing that an index identity names: "version 1.0 of flask"."""
        return self.project_of(identity) or identity

    @abstractmethod
    def upstream_request(self, identity: str, source_url: str) -> UpstreamRequest:
        """Address and Accept header of an index at one source."""

    @abstractmethod
    def read_index(
        self, identity: str, source: UpstreamSource, *, url: str, content_type: str, body: bytes
    ) -> IndexDocument:
        """Parse what the upstream sent (`url` is the final one, after redirects).

        Raises `UpstreamInvalid` when the body is not such a document (a login page, broken data).
        """

    @abstractmethod
    def decode_document(self, body: bytes) -> Any:
        """The canonical document as an object for `find_file` and `rewrite_index`; may be cached."""

    @abstractmethod
    def find_file(self, document: Any, file_id: str, filename: str) -> FileEntry | None:
        """The entry of exactly this file, or None. A metadata file finds its parent's entry with
        its own URL and hashes (`metadata_hashes`)."""

    def entry_identities(self, project: str, filename: str) -> tuple[str, ...]:
        """Indexes whose document may list a file, the preferred first; the last is the one that is
        fetched when none of them is there (npm: the packument, else the small version document)."""
        return (self.index_identity(project),)

    def direct_entry(
        self, source: UpstreamSource, project: str, file_id: str, filename: str
    ) -> FileEntry | None:
        """For layouts where a file's address follows from its name (Maven): the file at one source.
        None where an index lists the files."""
        return None

    def lists_files(self, identity: str, document: Any) -> bool:
        """Whether a document is its project's own list of files, and not empty: what pins the project to
        its source. All others (of one version, audits, signatures) never decide where files come from."""
        return False

    def pin_names(self, project: str) -> tuple[str, ...]:
        """The names under which a project may be pinned, the most special first."""
        return (project,)

    def merges(self, identity: str) -> bool:
        """Whether an index is the union of what the sources of one owner say (`SourceOptions.merge`),
        rather than the first one's."""
        return False

    def merge_documents(self, identity: str, bodies: Sequence[bytes]) -> bytes:
        """One canonical document out of several sources' documents, in the sources' order."""
        return bodies[0]

    def wants_previous(self, document: Any, sealed: Mapping[tuple[str, str], SealedFile]) -> bool:
        """Whether a new document needs the one before it: `carry_over` is called only then."""
        return False

    def carry_over(
        self, document: Any, previous: Any, sealed: Mapping[tuple[str, str], SealedFile], now: float
    ) -> bytes | None:
        """The canonical bytes of a new document with what was shown before and must stay shown.

        None if the document needs nothing of that: it stands as it is. `previous` is the last good
        document or None, `now` unix seconds. Deterministic.
        """
        raise NotImplementedError

    # --- rendering (fetcher) --------------------------------------------------------------------

    def per_base_url(self, identity: str) -> bool:
        """Whether the bodies of an index hold absolute URLs, so that each public address has its own."""
        return False

    @abstractmethod
    def rewrite_index(
        self, identity: str, document: Any, *, sealed: Mapping[tuple[str, str], SealedFile], base_url: str
    ) -> dict[str, Rendering]:
        """All representations of the page with Orchard's URLs. `sealed` is keyed (file_id, filename).

        `base_url` is "" for relative links, else the public URL of the protocol's mount point
        without a trailing slash. Runs in a thread; deterministic.
        """

    def mutated_files(
        self, document: Any, sealed: Mapping[tuple[str, str], SealedFile]
    ) -> list[tuple[SealedFile, str]]:
        """Sealed files under whose name the upstream now lists other bytes, with the new digest.

        `rewrite_index` goes on showing the sealed ones (ARCHITECTURE.md "Back-fill").
        """
        return []

    # --- extraction (extractor) -----------------------------------------------------------------

    @abstractmethod
    def is_extractable(self, filename: str) -> bool:
        """Whether `extract` could read anything of a file of this name."""

    @abstractmethod
    def extract(self, filename: str, file: BinaryIO, size_bytes: int) -> tuple[Extraction, bytes | None]:
        """Dependencies of an artifact, and its raw metadata document if it has one to serve.

        `file` is seekable and may fetch ranges: read little. Never raises for bad input: returns
        state `unextractable` with the reason. Bounded in bytes; the caller bounds time and memory.
        """

    def has_model(self, filename: str) -> bool:
        """Whether the resolver reads this file's `Extraction.model`."""
        return False

    def reads_model(self, model: bytes) -> bool:
        """Whether the resolver can use an `Extraction.model`: another version of this code
        may have written it. If not, the file is read again."""
        return bool(model)

    def metadata_filename(self, filename: str) -> str | None:
        """The name under which a file's core metadata is served, or None where there is none."""
        return None

    # --- resolution (extractor, gateway) ----------------------------------------------------------

    @property
    def resolver(self) -> Resolver | None:
        """This protocol's rules of dependency resolution; None where there are none yet."""
        return None

    # --- locks (extractor) --------------------------------------------------------------------------

    lock_reads_index: ClassVar[bool] = False  # whether `lock_fields` tells anything

    def lock_fields(self, document: Any, version: str) -> dict[str, Any] | None:
        """What a lock file of this protocol's clients tells of a version beside name, file and hash,
        out of a project's index document; None for a version that it lacks."""
        return {}
