"""`Grammar` and `Names`: what a request names, and how that, projects and versions are spelt."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from shared.access.tokens import BASIC
from shared.errors.base import Problem, problem_body
from shared.models import FileName
from shared.protocols.resource import Redirect, Resource


class Grammar(ABC):
    """Paths ↔ resources. Everything that a client asks for passes through `classify`."""

    takes_bare_token: ClassVar[bool] = False
    """Whether its clients send `Authorization: TOKEN`, without the scheme that RFC 9110 §11.4 wants."""

    @abstractmethod
    def classify(
        self, method: str, raw_path: bytes, query: bytes, headers: Mapping[bytes, bytes]
    ) -> Resource | Redirect:
        """The resource that a request names.

        `raw_path` is the undecoded path below the protocol's mount point, with its leading slash
        (b"/simple/flask/"). `headers` has what an answer may depend on: b"accept", b"accept-encoding", and
        b"authorization" where one was sent, which is b"*" then. Raises `MalformedRequest`, `RouteNotFound`,
        `NotAcceptable`, `UriTooLong` before any key is made.
        """

    def is_root_relative(self, raw_path: bytes) -> bool:
        """Whether a path from the host's root, below no mount point, can only be one that this protocol's
        clients make of an address below the mount point. Such a path goes to `classify` as it is."""
        return False

    @abstractmethod
    def index_identity(self, project: str) -> str:
        """The identity of the index that lists a project's files."""

    @abstractmethod
    def project_of(self, identity: str) -> str:
        """The normalised project of an index identity ("" for a list of all projects)."""

    def noun_of(self, identity: str) -> str:
        """An index identity in words for people: "version 1.0 of flask"."""
        return self.project_of(identity) or identity

    @abstractmethod
    def artifact_resource(self, file: FileName) -> Resource:
        """The resource of one file, as `classify` would give it."""

    @abstractmethod
    def artifact_path(self, file: FileName) -> str:
        """Where a file is served, below the mount point, with a leading slash."""

    def own_answer(self, resource: Resource, base_url: str) -> tuple[str, bytes]:
        """Content type and body of a resource of the kind "own", for the public URL of the mount point
        without a trailing slash. No source, store or job has a part in it."""
        raise NotImplementedError

    def version_asked(self, resource: Resource) -> str:
        """The canonical version that a request names, "" where it names none, or several."""
        return resource.version

    def gives_file(self, resource: Resource) -> bool:
        """Whether the bytes of a resource are a package's own file, and not what only tells of one: a page,
        a checksum, core metadata, a signature. Who got these has the package; only that counts as a serving
        (docs/ledger.md)."""
        return resource.kind == "artifact" and not resource.sidecar

    def digest_headers(self, digests: Mapping[str, str]) -> dict[str, str]:
        """The response headers that tell a client the digests (algorithm → hex) of a stored file that no
        index tells of."""
        return {}

    def challenge(self, base_url: str) -> str:
        """WWW-Authenticate of a 401 below the mount point (RFC 9110 §11.6.1).

        `base_url`: the public URL of the mount point without a trailing slash; "" where the client did not
        say by which address it came.
        """
        return BASIC

    def error_body(self, problem: Problem) -> tuple[str, bytes]:
        """Content type and body of an error below the mount point, as this protocol's clients read it."""
        return problem_body(problem)


_SEVERAL = frozenset("*?[](){},<>|^~= ")  # of a range or a pattern, as a rule of no version


class Names(ABC):
    """The canonical spelling of each name and version, which pages, blocks and pins use. What rules are
    judged by has no default: a protocol that forgot it would be outside, and nobody would know."""

    osv_ecosystem: ClassVar[str]  # as advisories name it (OSV schema, "affected[].package"), in lower case,
    # with "-" for all else; "": no advisory is about its packages
    purl_type: ClassVar[str]  # of its package URLs (purl specification, "purl-types"): "pypi"
    popular: ClassVar[frozenset[str]] = frozenset()  # canonical names that many builds have
    attests: ClassVar[bool]  # its lists tell who published a version (`Documents.attested`)
    signs_files: ClassVar[bool] = False  # signatures lie beside its files (`FileEntry.signature_url`)
    example: ClassVar[str] = ""  # of a name that can be pinned, for an error: "group:artifact or group:*"

    def canonical_name(self, name: str) -> str:
        """The canonical spelling of a project's name."""
        return name

    def is_project_name(self, text: str) -> bool:
        """Whether a project can have this name, in whatever spelling."""
        return bool(text)

    def is_version(self, text: str) -> bool:
        """Whether a version can be called so, in whatever spelling: no range, and no pattern."""
        return bool(text) and _SEVERAL.isdisjoint(text)

    def named_version(self, text: str) -> tuple[str, str]:
        """Name and version of what people write for one version, "name@version"; "" for a name alone."""
        name, _, version = text.rpartition("@")
        return (name, version) if name else (text, "")

    def canonical_version(self, version: str) -> str:
        """The canonical spelling of a version, under which it is blocked."""
        return version

    def spelt_version(self, project: str, name: str) -> str:
        """The version in the name of an entry (`Dated.name`) or of a stored file, as it is spelt there; what
        is no version of this project where it names none."""
        return name

    def told_version(self, project: str, version: str, *names: str) -> str:
        """A canonical version as its registry and its clients spell it, for people and for what they copy:
        as in the first of these `names`, of entries and files that are of it."""
        found = (self.spelt_version(project, name) for name in names)
        return next((each for each in found if each and self.canonical_version(each) == version), version)

    @abstractmethod
    def version_key(self, version: str) -> Any:
        """What orders a version among those of its project; None for what is none, or has no place. Ranges of
        advisories are read by it."""

    def pin_names(self, project: str) -> tuple[str, ...]:
        """The names under which a project may be pinned, the most special first."""
        return (project,)

    def group_prefix(self, name: str) -> str:
        """How the names of all projects begin that are pinned by this one, where it stands for a group
        (`pin_names`); "" for a project's own name, and for what can be no group's."""
        return ""

    def meant_patterns(self, pattern: str) -> tuple[str, ...]:
        """The glob patterns over canonical names that an operator's pattern stands for. One that never
        matches a name would silently let the name out to every source: `Acme_*` is `acme-*` for PyPI."""
        return (pattern,)

    def named_alike(self, name: str) -> str:
        """One spelling for all canonical names that a client takes for the same: what is blocked under one is
        blocked under all (Cargo asks for `my_crate` and `my-crate` in turn)."""
        return name

    def spellings(self, name: str) -> tuple[str, ...]:
        """All canonical names that are named alike, this one too; empty where they are too many."""
        return (name,)

    def purl_parts(self, project: str) -> tuple[str, str]:
        """Namespace ("" for none) and name of a project in its package URL."""
        return "", project

    def project_of_purl(self, namespace: str, name: str) -> str:
        """The project of a package URL, as it is spelt there: `purl_parts` the other way round."""
        return f"{namespace}/{name}" if namespace else name
