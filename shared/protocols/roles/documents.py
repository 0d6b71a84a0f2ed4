"""`Documents`: sources' index documents, read into one canonical form that is stored."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import msgspec

from shared.models import FileEntry, FileName, UpstreamSource
from shared.policy.age import Dated
from shared.policy.evidence import Attested, Signed
from shared.policy.traits import Traits


class IndexDocument(msgspec.Struct, frozen=True):
    """A document as read from an upstream: `body` is the canonical form that is kept.

    Canonical means: all URLs absolute at the upstream, unknown keys kept, decodable by
    `decode_document` for ever (or refused by its format number).
    """

    body: bytes
    dropped: tuple[str, ...] = ()  # entries refused with the reason (foreign schemes and such): counted
    document: Any = None  # what `decode_document` would make of `body`, where it is at hand


class Remark(msgspec.Struct, frozen=True):
    """What an upstream says of one entry, for people."""

    withdrawn: str = ""  # "yanked" or "deprecated", as the ecosystem calls it
    reason: str = ""
    size_bytes: int = 0  # of its file; 0: it does not say


class About(msgspec.Struct, frozen=True):
    """What a version's publisher says of it, for people. What is not told is empty; addresses are http(s)."""

    summary: str = ""
    licence: str = ""
    homepage: str = ""
    repository: str = ""
    maintainers: tuple[str, ...] = ()


class Documents(ABC):
    """Index documents: read, decoded, searched, merged."""

    tells_licences: bool = False
    """Whether a project's own list names each version's licence; else its files do, once they are stored."""

    @abstractmethod
    def read_index(
        self, identity: str, source: UpstreamSource, *, url: str, content_type: str, body: bytes
    ) -> IndexDocument:
        """Parse what the upstream sent (`url` is the final one, after redirects).

        Raises `UpstreamInvalid` when the body is not such a document (a login page, broken data).
        """

    @abstractmethod
    def decode_document(self, body: bytes) -> Any:
        """The canonical document as an object for `find_file` and `Pages`; may be cached."""

    edition: ClassVar[int] = 0
    """Of what `read_index` makes of a page. A document of an earlier one stays good, but is no answer to a
    304: its page is asked for anew, once."""

    def edition_of(self, document: Any) -> int:
        """The edition that a document was read by."""
        return self.edition

    @abstractmethod
    def find_file(
        self, document: Any, file: FileName, source: UpstreamSource | None = None
    ) -> FileEntry | None:
        """The entry of exactly this file, or None. A metadata file finds its parent's entry with
        its own URL and hashes (`metadata_hashes`). `source`: the document's; None where the file's address
        is of no interest."""

    @abstractmethod
    def entry_identities(self, file: FileName) -> tuple[str, ...]:
        """Indexes whose document may list a file, the preferred first; the last is the one that is
        fetched when none of them is there (npm: the packument, else the small version document)."""

    @abstractmethod
    def dated(self, identity: str, document: Any, *, marks: bool = False) -> Iterable[Dated]:
        """What a document lists, each with the date that the upstream tells. `marks`: with what tells its
        bytes from others under the same name, also where that costs something to read. What is not here no
        rule but those about names can hide."""

    def remarks(self, document: Any) -> Mapping[str, Remark]:
        """What a document says of entries beside their dates, by their names in `dated`; only of those of
        which there is something to say."""
        return {}

    def about(self, document: Any, version: str) -> About:
        """What a project's list tells of a version (canonical)."""
        return About()

    def tags(self, document: Any) -> Mapping[str, str]:
        """The versions (canonical) that a document gives names of its own, by these: "latest"."""
        return {}

    def attested(self, project: str, listed: Dated) -> Attested | None:
        """What the attestations of an entry are about, where it says that it has some (`Dated.provenance`);
        None: of a form that nobody here reads."""
        return None

    def attestations(self, document: bytes) -> Iterable[Signed]:
        """Those in what a registry gives at `Dated.provenance`, not verified yet. Asked in a process of its
        own, for it loads large libraries, and raises whatever they raise."""
        return ()

    def signed_text(self, project: str, listed: Dated) -> bytes:
        """What the registry's own signatures of an entry (`Dated.signatures`) are over."""
        return b""

    def is_subject(self, attested: str, name: str) -> bool:
        """Whether a statement's name of a file means `Attested.subject`."""
        return name == attested

    def dated_whole(self, identity: str, document: Any, modified: float) -> float | None:
        """Of a document that stands at its address for whatever is the newest there (a snapshot's POM): when
        that was published, as its source says (unix seconds; 0: it does not). `modified`: Last-Modified.
        None: of any other."""
        return None

    @abstractmethod
    def traits(self, identity: str, document: Any) -> Iterable[Traits]:
        """What a project's own list tells of its versions, for the rules of the policy file; nothing where it
        tells no more than `dated`."""

    def dated_name(self, document: Any, file: FileName) -> str:
        """The name under which `dated` has a file (of metadata: its parent's); "" if the document does not
        list it."""
        return ""

    def unlisted(self, file: FileName, version: str, digests: Mapping[str, str]) -> Dated:
        """What would be an entry of a file, or of its `version` (canonical), that no list has. `digests`: of
        a stored one, beside its SHA256."""
        return Dated(version, version)

    def stands_for_entry(self, file: FileName) -> bool:
        """Whether what is said of a stored file's bytes is said of its whole entry: not of what lies beside
        the file that is installed."""
        return True

    def dates_version(self, file: FileName) -> bool:
        """Whether a file that no index lists is as old as its version: what is added later is not."""
        return True

    def dating_file(self, project: str, listed: Dated) -> FileName | None:
        """The file whose own Last-Modified tells when a listed version was published; None where the document
        tells it."""
        return None

    def lists_files(self, identity: str, document: Any) -> bool:
        """Whether a document is its project's own list of files, and not empty: what pins the project to
        its source. All others (of one version, audits, signatures) never decide where files come from."""
        return False

    def merges(self, identity: str) -> bool:
        """Whether an index is the union of those of an owner's sources (`SourceOptions.merge`), rather than
        the first one's."""
        return False

    def merge_documents(self, identity: str, bodies: Sequence[bytes]) -> bytes:
        """One canonical document out of several sources' documents, in the sources' order."""
        return bodies[0]
