"""npm: packuments in both forms, version documents, tarballs, and a registry's services."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

from shared.protocols.base import PackageProxyBase

if TYPE_CHECKING:
    from shared.protocols.npm.ahead import NpmAhead
    from shared.protocols.npm.forwarding import NpmForwarding
    from shared.protocols.npm.importing import NpmImporting
    from shared.protocols.npm.index import NpmDocuments
    from shared.protocols.npm.locking import NpmLocks
    from shared.protocols.npm.metadata import NpmArchive
    from shared.protocols.npm.names import NpmNames
    from shared.protocols.npm.pages import NpmPages
    from shared.protocols.npm.paths import NpmGrammar
    from shared.protocols.npm.pinning.role import NpmPins
    from shared.protocols.npm.resolver.resolve import NpmResolver
    from shared.protocols.npm.setup import NpmSetup
    from shared.protocols.npm.upstream import NpmUpstream


class NpmProxy(PackageProxyBase):
    """npm: packuments in both forms, version documents, tarballs, and a registry's services."""

    name: ClassVar[str] = "npm"

    @cached_property
    def names(self) -> NpmNames:
        from shared.protocols.npm.names import NpmNames

        return NpmNames()

    @cached_property
    def grammar(self) -> NpmGrammar:
        from shared.protocols.npm.paths import NpmGrammar

        return NpmGrammar()

    @cached_property
    def upstream(self) -> NpmUpstream:
        from shared.protocols.npm.upstream import NpmUpstream

        return NpmUpstream()

    @cached_property
    def documents(self) -> NpmDocuments:
        from shared.protocols.npm.index import NpmDocuments

        return NpmDocuments()

    @cached_property
    def pages(self) -> NpmPages:
        from shared.protocols.npm.pages import NpmPages

        return NpmPages()

    @cached_property
    def archive(self) -> NpmArchive:
        from shared.protocols.npm.metadata import NpmArchive

        return NpmArchive()

    @cached_property
    def resolver(self) -> NpmResolver:
        from shared.protocols.npm.resolver.resolve import NpmResolver

        return NpmResolver()

    @cached_property
    def forwarding(self) -> NpmForwarding:
        from shared.protocols.npm.forwarding import NpmForwarding

        return NpmForwarding()

    @cached_property
    def locks(self) -> NpmLocks:
        from shared.protocols.npm.locking import NpmLocks

        return NpmLocks()

    @cached_property
    def setup(self) -> NpmSetup:
        from shared.protocols.npm.setup import NpmSetup

        return NpmSetup()

    @cached_property
    def pins(self) -> NpmPins:
        from shared.protocols.npm.pinning.role import NpmPins

        return NpmPins()

    @cached_property
    def ahead(self) -> NpmAhead:
        from shared.protocols.npm.ahead import NpmAhead

        return NpmAhead()

    @cached_property
    def importing(self) -> NpmImporting:
        from shared.protocols.npm.importing import NpmImporting

        return NpmImporting()
