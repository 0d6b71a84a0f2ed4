"""A protocol made for the tests: plain text indexes, one file a line."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

from shared.protocols.base import PackageProxyBase

if TYPE_CHECKING:
    from shared.protocols.toy.index import ToyDocuments
    from shared.protocols.toy.locking import ToyLocks
    from shared.protocols.toy.metadata import ToyArchive
    from shared.protocols.toy.names import ToyNames
    from shared.protocols.toy.pages import ToyPages
    from shared.protocols.toy.paths import ToyGrammar
    from shared.protocols.toy.resolver import ToyResolver
    from shared.protocols.toy.setup import ToySetup
    from shared.protocols.toy.upstream import ToyUpstream


class ToyProxy(PackageProxyBase):
    """The smallest protocol that plays every role but one: it passes nothing on."""

    name: ClassVar[str] = "toy"

    @property
    def mount(self) -> str:
        return "/toys/"

    @cached_property
    def names(self) -> ToyNames:
        from shared.protocols.toy.names import ToyNames

        return ToyNames()

    @cached_property
    def grammar(self) -> ToyGrammar:
        from shared.protocols.toy.paths import ToyGrammar

        return ToyGrammar()

    @cached_property
    def upstream(self) -> ToyUpstream:
        from shared.protocols.toy.upstream import ToyUpstream

        return ToyUpstream()

    @cached_property
    def documents(self) -> ToyDocuments:
        from shared.protocols.toy.index import ToyDocuments

        return ToyDocuments()

    @cached_property
    def pages(self) -> ToyPages:
        from shared.protocols.toy.pages import ToyPages

        return ToyPages()

    @cached_property
    def archive(self) -> ToyArchive:
        from shared.protocols.toy.metadata import ToyArchive

        return ToyArchive()

    @cached_property
    def resolver(self) -> ToyResolver:
        from shared.protocols.toy.resolver import ToyResolver

        return ToyResolver()

    @cached_property
    def locks(self) -> ToyLocks:
        from shared.protocols.toy.locking import ToyLocks

        return ToyLocks()

    @cached_property
    def setup(self) -> ToySetup:
        from shared.protocols.toy.setup import ToySetup

        return ToySetup()
