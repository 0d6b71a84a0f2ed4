"""Dependency resolution in terms that all protocols share: request, step, result.

A protocol resolves in steps and does no I/O: given the documents known so far it gives the result or
names the documents that it lacks. The driver (an extractor) loads them and steps again.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal

import msgspec

from shared.errors import Blocked, InvalidParameter, OrchardError, ProjectNotFound
from shared.models import Extraction, SealedFile
from shared.protocols.resource import DocumentName

RESOLUTION_FORMAT = 1
"""Part of every key: raised when the same request shall be answered anew by better rules."""

DEFAULT_MAX_DEPTH = 50
MAX_DEPTH = 200
MAX_REQUIREMENTS = 1000
MAX_NODES = 5000
MAX_ROUNDS = 100_000  # of the solver, over all steps; each pins one node or takes it back
MAX_DOCUMENTS = 10_000


class ResolutionRequest(msgspec.Struct, frozen=True):
    """What is to be resolved, canonical: equal requests have one key. `artifact` or `requirements`.

    `environment` and `max_depth` are always filled in: defaults are constants, never the server's own.
    """

    protocol: str
    artifact: str = ""  # SHA256 of the root file
    requirements: tuple[str, ...] = ()  # sorted, each in the protocol's one spelling
    max_depth: int = DEFAULT_MAX_DEPTH  # nodes further from the roots are left out
    include_optional: bool = False  # the optional dependencies of the roots as well (extras)
    environment: str = ""  # as the protocol names it
    as_of: str = ""  # RFC 3339 in UTC: only files uploaded before; "" = as the indexes are now
    project: str = ""  # what a project says beside its requirements (npm: overrides, manifests), as JSON

    @property
    def key(self) -> str:
        """The key of the result: 64 hex digits."""
        fields = (RESOLUTION_FORMAT, *msgspec.structs.astuple(self))
        if not self.project:  # as before there was such a thing
            fields = fields[:-1]
        return hashlib.sha256(msgspec.json.encode(fields)).hexdigest()


def check_bounds(max_depth: int, requirements: tuple[str, ...]) -> None:
    """Checks the bounds of a request, alike in every protocol. Raises `InvalidParameter` naming the
    parameter."""
    if not 1 <= max_depth <= MAX_DEPTH:
        raise InvalidParameter(f"max_depth: from 1 to {MAX_DEPTH}, not {max_depth}")
    if len(requirements) > MAX_REQUIREMENTS:
        raise InvalidParameter(f"requirements: at most {MAX_REQUIREMENTS}")


class RootFile(msgspec.Struct, frozen=True):
    """The stored file that an artifact's resolution starts from."""

    project: str
    file_id: str
    filename: str
    sha256: str
    size_bytes: int


# --- documents ------------------------------------------------------------------------------------


class Document(msgspec.Struct, frozen=True):
    """One document that a step needs: a project's index, the metadata of one of its files, the lock that
    a file brings (`prepare_inner`), or what is stored of a file (a `SealedFile`, or an `Absent`; nothing is
    ever fetched for that)."""

    kind: Literal["index", "metadata", "inner", "stored"]
    project: str
    file_id: str = ""
    filename: str = ""  # of the file that the metadata describes
    advertised: bool = False  # the upstream offers the metadata apart from the file
    identity: str = ""  # of an index that is not the project's own (Maven: of a snapshot version)


class Absent(msgspec.Struct, frozen=True):
    """There is no such document and a retry will not help; the answer says why."""

    reason: str
    blocked: bool = False  # it is withheld, though a source may have it


class Unavailable(msgspec.Struct, frozen=True):
    """The document cannot be fetched now: an answer that depends on it is incomplete."""

    reason: str


def missing_root(label: str, absent: Absent) -> OrchardError:
    """The error for a missing root, to be raised: `Blocked`, or `ProjectNotFound` with `label` in front."""
    return Blocked(absent.reason) if absent.blocked else ProjectNotFound(f"{label}: {absent.reason}")


class KnownDocuments:
    """The documents loaded so far, as `prepare_index` and `prepare_metadata` returned them. `memo` is the
    protocol's own cache of what it has computed from them.
    """

    def __init__(self) -> None:
        self.documents: dict[Document, Any] = {}
        self.memo: dict[Any, Any] = {}


class NeededDocuments(msgspec.Struct, frozen=True):
    """The step could not finish: load these documents and step again. At least one, in a stable order."""

    documents: tuple[Document, ...]


# --- the result -----------------------------------------------------------------------------------


class Node(msgspec.Struct, frozen=True):
    """One chosen file. `depth` 0 is a root."""

    purl: str
    name: str
    version: str
    filename: str = ""
    sha256: str = ""  # "" where neither index nor store tells it
    size_bytes: int | None = None
    file_id: str = ""  # its address here: /{protocol}/files/{name}/{file_id}/{filename} for PyPI
    depth: int = 0
    extras: tuple[str, ...] = ()
    yanked: bool = False
    integrity: str = ""  # as the registry tells it (Subresource Integrity), where it does
    locations: tuple[str, ...] = ()  # where an installer puts it: npm's "node_modules/a/node_modules/b"
    scope: str = ""  # Maven's: compile, runtime, …
    optional: bool = False  # reached by optional dependencies only
    inert: bool = False  # locked, yet not installed in this environment (npm: os, cpu, libc, engines)
    entries: dict[str, dict[str, Any]] = {}  # npm: what a package's own lock says of a location below it


class Edge(msgspec.Struct, frozen=True):
    """`requirement`, as declared by `source` (a purl, "" for the request itself), made `target` needed."""

    source: str
    target: str
    requirement: str
    kind: str = ""  # npm's: prod, optional, peer, peerOptional


class Unresolved(msgspec.Struct, frozen=True):
    """Something the graph lacks. `passing`: a later try may find it."""

    name: str
    reason: str
    wanted_by: str = ""  # a purl, "" for the request itself
    requirement: str = ""
    passing: bool = False


class Resolution(msgspec.Struct, frozen=True):
    """A resolved graph. Deterministic: the same documents give the same bytes.

    `complete` is false only for passing causes; what can never be known is listed as unresolved.
    """

    request: ResolutionRequest
    key: str
    complete: bool
    nodes: tuple[Node, ...]  # by depth, then name
    edges: tuple[Edge, ...]
    unresolved: tuple[Unresolved, ...] = ()
    cycles: tuple[tuple[str, ...], ...] = ()  # the purls of each cycle
    stale: tuple[str, ...] = ()  # projects whose index could not be refreshed and is older than it may be
    truncated: bool = False  # nodes beyond max_depth were left out
    documents: tuple[DocumentName, ...] = ()  # files that the graph was made of and clients read too (POMs)


class Resolver(ABC):
    """A protocol's rules. Stateless and pure."""

    protocol: ClassVar[str]
    chooses_optional: ClassVar[bool] = True  # whether `include_optional` makes a difference

    def request(
        self,
        *,
        artifact: str = "",
        requirements: tuple[str, ...] = (),
        max_depth: int = DEFAULT_MAX_DEPTH,
        include_optional: bool = False,
        environment: str = "",
        as_of: str = "",
        project: str = "",
    ) -> ResolutionRequest:
        """The canonical request. Raises `InvalidParameter` naming the parameter at fault."""
        target = self.environment_named(environment)
        check_bounds(max_depth, requirements)
        return ResolutionRequest(
            protocol=self.protocol,
            artifact=artifact,
            requirements=tuple(sorted(self.canonical(requirements))),
            max_depth=max_depth,
            include_optional=include_optional and self.chooses_optional,
            environment=target,
            as_of=self.moment(as_of) if as_of else "",
            project=project,
        )

    @abstractmethod
    def environment_named(self, name: str) -> str:
        """The environment's canonical name; the default one's for "". Raises `InvalidParameter`."""

    @abstractmethod
    def canonical(self, requirements: tuple[str, ...]) -> Iterable[str]:
        """The requirements in one spelling, each once. Raises `InvalidParameter`."""

    def moment(self, as_of: str) -> str:
        """The time in one spelling, UTC. Raises `InvalidParameter`."""
        try:
            found = datetime.fromisoformat(as_of)
        except ValueError:
            raise InvalidParameter(
                f"as_of: expected a date or time as RFC 3339 writes it, not {as_of[:40]!r}"
            ) from None
        if found.tzinfo is None:
            found = found.replace(tzinfo=UTC)
        try:
            return found.astimezone(UTC).isoformat(timespec="seconds")
        except (OverflowError, ValueError):
            raise InvalidParameter(f"as_of: {as_of[:40]!r} is out of range") from None

    @abstractmethod
    def prepare_index(self, body: bytes) -> Any:
        """A canonical index document as `resolve` reads it. Runs in a thread.

        Raises `UpstreamInvalid` if it cannot be read.
        """

    @abstractmethod
    def with_sealed(self, index: Any, sealed: Mapping[tuple[str, str], SealedFile]) -> Any:
        """The document as it is served: merged with the project's stored files, keyed (file_id, filename)."""

    @abstractmethod
    def prepare_metadata(self, document: Document, raw: bytes | Extraction) -> Any:
        """A file's core metadata (or what was extracted of it); an `Absent` if it cannot be used."""

    def prepare_inner(self, raw: bytes) -> Any:
        """What `Archive.inner_lock` gave, as `resolve` reads it; an `Absent` if it cannot be used."""
        raise NotImplementedError

    @abstractmethod
    def resolve(
        self,
        request: ResolutionRequest,
        root: RootFile | None,
        known: KnownDocuments,
        *,
        give_up: Callable[[], bool] = lambda: False,
    ) -> Resolution | NeededDocuments:
        """One step. `root` is given for an artifact's request.

        Raises `ResolutionConflict` (who wants what), `ProjectNotFound` for a root that no source
        knows, `ResolutionTooLarge` beyond the bounds or when `give_up()` says so.
        """
