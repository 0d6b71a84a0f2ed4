"""Brings the environment's upstream sources into the database, as soon as it answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from services.fetcher.http.manager import HttpClientManager
from services.fetcher.sources.repository import SourceRepository, SourceSet
from shared.errors.passing import DatabaseUnavailable
from shared.models import UpstreamSource
from shared.process.periodic import NEVER, Every
from shared.protocols import PROTOCOLS
from shared.settings import Settings
from shared.telemetry.logs import get_logger

log = get_logger()

RETRY_SECONDS = 0.5


class SourceSync:
    """Writes the rows in the background until that has worked once. The caller opens and closes it."""

    def __init__(self, repository: SourceRepository, settings: Settings, environ: Mapping[str, str]) -> None:
        self._repository = repository
        self._settings = settings
        self._environ = environ
        self._tries = Every(RETRY_SECONDS, self._turn, name="source sync")

    async def open(self) -> None:
        """Try once, and go on in the background if the database is away or not migrated yet.

        Raises `ConfigurationError` for an address that cannot be used.
        """
        if not await self._try():
            await self._tries.open()

    async def aclose(self) -> None:
        """Stop trying."""
        await self._tries.aclose()

    @staticmethod
    def changed(http: HttpClientManager) -> Callable[[SourceSet], Awaitable[None]]:
        """For `SourceWatcher`: the pools of sources that changed or went are closed."""
        known: dict[str, tuple[UpstreamSource, ...]] = {}

        async def on_change(found: SourceSet) -> None:
            for old in known.get(found.protocol, ()):
                if old not in found.sources:
                    await http.forget(old.id)
            known[found.protocol] = found.sources
            for source in found.sources:
                if source.fault and source.enabled:
                    log.error("source_unusable", source=source.name, reason=source.fault)
            names = [source.name for source in found.sources if source.enabled]
            log.info("sources_loaded", protocol=found.protocol, revision=found.revision, sources=names)

        return on_change

    async def _turn(self) -> float:
        return NEVER if await self._try() else RETRY_SECONDS

    async def _try(self) -> bool:
        protocols = [protocol.name for protocol in PROTOCOLS]
        try:
            origins = await self._repository.sync_from_settings(self._settings, protocols, self._environ)
            for protocol in protocols:
                sealed, left = await self._repository.reseal(protocol)
                if sealed or left:
                    log.info("credentials_sealed", protocol=protocol, count=sealed, not_sealed=left)
        except DatabaseUnavailable as error:
            log.debug("sources_not_synced", error=error.message)
            return False
        log.info("sources_synced", origins=origins)
        return True
