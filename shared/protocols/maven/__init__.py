"""Maven: the repository layout, its metadata and its checksum files."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

from shared.protocols.base import PackageProxyBase

if TYPE_CHECKING:
    from shared.protocols.maven.ahead import MavenAhead
    from shared.protocols.maven.importing import MavenImporting
    from shared.protocols.maven.index import MavenDocuments
    from shared.protocols.maven.locking import MavenLocks
    from shared.protocols.maven.metadata import MavenArchive
    from shared.protocols.maven.names import MavenNames
    from shared.protocols.maven.pages import MavenPages
    from shared.protocols.maven.paths import MavenGrammar
    from shared.protocols.maven.pinning import MavenPins
    from shared.protocols.maven.resolver.resolve import MavenResolver
    from shared.protocols.maven.setup import MavenSetup
    from shared.protocols.maven.upstream import MavenUpstream


class MavenProxy(PackageProxyBase):
    """Maven: the repository layout, its metadata and its checksum files."""

    name: ClassVar[str] = "maven"

    @cached_property
    def names(self) -> MavenNames:
        from shared.protocols.maven.names import MavenNames

        return MavenNames()

    @cached_property
    def grammar(self) -> MavenGrammar:
        from shared.protocols.maven.paths import MavenGrammar

        return MavenGrammar()

    @cached_property
    def upstream(self) -> MavenUpstream:
        from shared.protocols.maven.upstream import MavenUpstream

        return MavenUpstream()

    @cached_property
    def documents(self) -> MavenDocuments:
        from shared.protocols.maven.index import MavenDocuments

        return MavenDocuments()

    @cached_property
    def pages(self) -> MavenPages:
        from shared.protocols.maven.pages import MavenPages

        return MavenPages()

    @cached_property
    def archive(self) -> MavenArchive:
        from shared.protocols.maven.metadata import MavenArchive

        return MavenArchive()

    @cached_property
    def resolver(self) -> MavenResolver:
        from shared.protocols.maven.resolver.resolve import MavenResolver

        return MavenResolver()

    @cached_property
    def setup(self) -> MavenSetup:
        from shared.protocols.maven.setup import MavenSetup

        return MavenSetup()

    @cached_property
    def locks(self) -> MavenLocks:
        from shared.protocols.maven.locking import MavenLocks

        return MavenLocks()

    @cached_property
    def pins(self) -> MavenPins:
        from shared.protocols.maven.pinning import MavenPins

        return MavenPins()

    @cached_property
    def ahead(self) -> MavenAhead:
        from shared.protocols.maven.ahead import MavenAhead

        return MavenAhead()

    @cached_property
    def importing(self) -> MavenImporting:
        from shared.protocols.maven.importing import MavenImporting

        return MavenImporting()
