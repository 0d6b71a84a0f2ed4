"""Cargo: a sparse index and its crates."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

from shared.protocols.base import PackageProxyBase

if TYPE_CHECKING:
    from shared.protocols.cargo.ahead import CargoAhead
    from shared.protocols.cargo.importing import CargoImporting
    from shared.protocols.cargo.index import CargoDocuments
    from shared.protocols.cargo.locking import CargoLocks
    from shared.protocols.cargo.metadata import CargoArchive
    from shared.protocols.cargo.names import CargoNames
    from shared.protocols.cargo.pages import CargoPages
    from shared.protocols.cargo.paths import CargoGrammar
    from shared.protocols.cargo.pinning import CargoPins
    from shared.protocols.cargo.resolver.resolve import CargoResolver
    from shared.protocols.cargo.setup import CargoSetup
    from shared.protocols.cargo.upstream import CargoUpstream


class CargoProxy(PackageProxyBase):
    """Cargo: a sparse index and its crates."""

    name: ClassVar[str] = "cargo"

    @cached_property
    def names(self) -> CargoNames:
        from shared.protocols.cargo.names import CargoNames

        return CargoNames()

    @cached_property
    def grammar(self) -> CargoGrammar:
        from shared.protocols.cargo.paths import CargoGrammar

        return CargoGrammar()

    @cached_property
    def upstream(self) -> CargoUpstream:
        from shared.protocols.cargo.upstream import CargoUpstream

        return CargoUpstream()

    @cached_property
    def documents(self) -> CargoDocuments:
        from shared.protocols.cargo.index import CargoDocuments

        return CargoDocuments()

    @cached_property
    def pages(self) -> CargoPages:
        from shared.protocols.cargo.pages import CargoPages

        return CargoPages()

    @cached_property
    def archive(self) -> CargoArchive:
        from shared.protocols.cargo.metadata import CargoArchive

        return CargoArchive()

    @cached_property
    def resolver(self) -> CargoResolver:
        from shared.protocols.cargo.resolver.resolve import CargoResolver

        return CargoResolver()

    @cached_property
    def locks(self) -> CargoLocks:
        from shared.protocols.cargo.locking import CargoLocks

        return CargoLocks()

    @cached_property
    def setup(self) -> CargoSetup:
        from shared.protocols.cargo.setup import CargoSetup

        return CargoSetup()

    @cached_property
    def pins(self) -> CargoPins:
        from shared.protocols.cargo.pinning import CargoPins

        return CargoPins()

    @cached_property
    def ahead(self) -> CargoAhead:
        from shared.protocols.cargo.ahead import CargoAhead

        return CargoAhead()

    @cached_property
    def importing(self) -> CargoImporting:
        from shared.protocols.cargo.importing import CargoImporting

        return CargoImporting()
