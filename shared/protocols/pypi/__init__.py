"""PyPI: PEP 503/691 simple pages, files, core metadata and the legacy JSON API."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

from shared.protocols.base import PackageProxyBase

if TYPE_CHECKING:
    from shared.protocols.pypi.ahead import PyPIAhead
    from shared.protocols.pypi.importing import PyPIImporting
    from shared.protocols.pypi.index import PyPIDocuments
    from shared.protocols.pypi.locking import PyPILocks
    from shared.protocols.pypi.metadata import PyPIArchive
    from shared.protocols.pypi.names import PyPINames
    from shared.protocols.pypi.pages import PyPIPages
    from shared.protocols.pypi.paths import PyPIGrammar
    from shared.protocols.pypi.pinning.role import PyPIPins
    from shared.protocols.pypi.resolver.resolve import PyPIResolver
    from shared.protocols.pypi.setup import PyPISetup
    from shared.protocols.pypi.upstream import PyPIUpstream


class PyPIProxy(PackageProxyBase):
    """PyPI: PEP 503/691 simple pages, files, core metadata and the legacy JSON API."""

    name: ClassVar[str] = "pypi"

    @cached_property
    def names(self) -> PyPINames:
        from shared.protocols.pypi.names import PyPINames

        return PyPINames()

    @cached_property
    def grammar(self) -> PyPIGrammar:
        from shared.protocols.pypi.paths import PyPIGrammar

        return PyPIGrammar()

    @cached_property
    def upstream(self) -> PyPIUpstream:
        from shared.protocols.pypi.upstream import PyPIUpstream

        return PyPIUpstream()

    @cached_property
    def documents(self) -> PyPIDocuments:
        from shared.protocols.pypi.index import PyPIDocuments

        return PyPIDocuments()

    @cached_property
    def pages(self) -> PyPIPages:
        from shared.protocols.pypi.pages import PyPIPages

        return PyPIPages()

    @cached_property
    def archive(self) -> PyPIArchive:
        from shared.protocols.pypi.metadata import PyPIArchive

        return PyPIArchive()

    @cached_property
    def resolver(self) -> PyPIResolver:
        from shared.protocols.pypi.resolver.resolve import PyPIResolver

        return PyPIResolver()

    @cached_property
    def setup(self) -> PyPISetup:
        from shared.protocols.pypi.setup import PyPISetup

        return PyPISetup()

    @cached_property
    def locks(self) -> PyPILocks:
        from shared.protocols.pypi.locking import PyPILocks

        return PyPILocks()

    @cached_property
    def pins(self) -> PyPIPins:
        from shared.protocols.pypi.pinning.role import PyPIPins

        return PyPIPins()

    @cached_property
    def ahead(self) -> PyPIAhead:
        from shared.protocols.pypi.ahead import PyPIAhead

        return PyPIAhead()

    @cached_property
    def importing(self) -> PyPIImporting:
        from shared.protocols.pypi.importing import PyPIImporting

        return PyPIImporting()
