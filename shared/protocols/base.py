"""`PackageProxyBase`: one package protocol, as the roles that it plays (docs/adding-a-protocol.md).

Each role is imported when it is first asked for: a gateway never loads what reads archives. Nothing here does
I/O; what all protocols share is in the services (`services/gateway/serving/`, `services/fetcher/`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from shared.protocols.resolution import Resolver
    from shared.protocols.roles.ahead import Ahead
    from shared.protocols.roles.archive import Archive
    from shared.protocols.roles.documents import Documents
    from shared.protocols.roles.grammar import Grammar, Names
    from shared.protocols.roles.importing import Importing
    from shared.protocols.roles.locks import Locks
    from shared.protocols.roles.pages import Pages
    from shared.protocols.roles.pins import Pins
    from shared.protocols.roles.setup import Setup
    from shared.protocols.roles.upstream import Forwarding, Upstream


class PackageProxyBase(ABC):
    """One package protocol. Instances are stateless and shared; so are their roles."""

    name: ClassVar[str]  # "pypi": also the key segment

    @property
    def mount(self) -> str:
        """Where its paths begin on this host: one segment between slashes ("/pypi/")."""
        return f"/{self.name}/"

    @property
    @abstractmethod
    def names(self) -> Names:
        """How projects and versions are spelt."""

    @property
    @abstractmethod
    def grammar(self) -> Grammar:
        """Request paths ↔ resources."""

    @property
    @abstractmethod
    def upstream(self) -> Upstream:
        """Addresses and requests at a source."""

    @property
    @abstractmethod
    def documents(self) -> Documents:
        """Reading a source's index documents."""

    @property
    @abstractmethod
    def pages(self) -> Pages:
        """Rendering of index pages for clients."""

    @property
    @abstractmethod
    def archive(self) -> Archive:
        """Metadata and dependencies inside a file."""

    @property
    @abstractmethod
    def setup(self) -> Setup:
        """How its client is set up, and its default upstream."""

    @cached_property
    def forwarding(self) -> Forwarding:
        """Requests that are forwarded and never cached; none by default."""
        from shared.protocols.roles.upstream import Forwarding

        return Forwarding()

    @property
    def resolver(self) -> Resolver | None:
        """This protocol's rules of dependency resolution; None where there are none yet."""
        return None

    @cached_property
    def locks(self) -> Locks:
        """Its table of an ensure file, its entries of a lock, and exports."""
        from shared.protocols.roles.locks import Locks

        return Locks()

    @cached_property
    def pins(self) -> Pins:
        """The locks of its clients, read as the files that they name; none by default."""
        from shared.protocols.roles.pins import Pins

        return Pins()

    @cached_property
    def ahead(self) -> Ahead:
        """What its clients are likely to ask next; nothing by default."""
        from shared.protocols.roles.ahead import Ahead

        return Ahead()

    @cached_property
    def importing(self) -> Importing:
        """Files of folders and of other caches' stores, as its index lists them; none by default."""
        from shared.protocols.roles.importing import Importing

        return Importing()
