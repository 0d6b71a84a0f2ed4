"""`Pages`: rendering of index documents for clients, without what is blocked, with what is sealed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from shared.http.conditions import CODINGS
from shared.models import SealedFile
from shared.policy.project import ProjectVerdicts


class Rendering(msgspec.Struct, frozen=True):
    """One representation, and the content-codings that it is kept in."""

    content: bytes | Callable[[], bytes]  # identity-coded; a function where making it costs something
    content_type: str
    codings: tuple[str, ...] = CODINGS
    is_changed: bool = False  # by `sealed`: its source's Last-Modified does not stand for it

    @property
    def body(self) -> bytes:
        """The bytes, made now. Deterministic."""
        return self.content if isinstance(self.content, bytes) else self.content()


class Relayed(ABC):
    """An index that is written for a client while it is read; used once, by one thread at a time.

    `feed` takes the upstream's text, unpacked, as it comes; what it and `end` return is, joined, the identity
    body that `Pages.rewrite_index` makes of the same answer. Both raise `UpstreamInvalid` for a text that is
    broken, or that cannot be written before all of it is there.
    """

    content_type: str

    @abstractmethod
    def feed(self, text: bytes) -> bytes:
        """What can be written by now."""

    @abstractmethod
    def end(self) -> bytes:
        """The rest: all of the text was fed."""


class Pages(ABC):
    """Canonical documents → finished bodies. `sealed` is keyed (file_id, filename) everywhere."""

    def per_base_url(self, identity: str) -> bool:
        """Whether the bodies of an index hold absolute URLs, so that each public address has its own."""
        return False

    @abstractmethod
    def rewrite_index(
        self, identity: str, document: Any, *, sealed: Mapping[tuple[str, str], SealedFile], base_url: str
    ) -> dict[str, Rendering]:
        """All representations of the page with Orchard's URLs; each is made when its body is read.

        `base_url` is "" for relative links, else the public URL of the protocol's mount point
        without a trailing slash. Runs in a thread; deterministic.
        """

    def relayed(self, identity: str, representation: str, content_type: str) -> Relayed | None:
        """A writer of one representation of an index, for an upstream's answer of this type; None for one
        that is answered once it is there whole, as most are. Only for an index that is the same whatever is
        stored, blocked or too young, without a project and without addresses of its own."""
        return None

    @abstractmethod
    def without_blocked(
        self,
        identity: str,
        body: bytes,
        verdicts: ProjectVerdicts,
        sealed: Mapping[tuple[str, str], SealedFile],
    ) -> bytes:
        """The canonical bytes of a document without what is blocked of its project; `body` itself where
        nothing of it is there. Raises `Blocked` for a document that is about one blocked version."""

    def instead(self, identity: str, listing: bytes) -> bytes | None:
        """The canonical bytes of a document that is asked for by a tag ("latest"), whose upstream's may not
        be served: of what the tag comes to in `listing`, its project's own list without what is blocked.
        None: it comes to nothing, or no tag is asked for."""
        return None

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

    def mutated_files(
        self, document: Any, sealed: Mapping[tuple[str, str], SealedFile]
    ) -> list[tuple[SealedFile, str]]:
        """Sealed files under whose name the upstream now lists other bytes, with the new digest.

        `rewrite_index` goes on showing the sealed ones (ARCHITECTURE.md "Back-fill").
        """
        return []
