"""The relay of downloads in progress: fetcher → gateway → client, each client at its own pace."""

from __future__ import annotations

from services.gateway.fetchers import FetcherPool
from services.gateway.live_source import ObjectReader, StoredFacts
from services.gateway.misses import Listener, Queue
from services.gateway.transfer import Transfer
from shared.events import Event
from shared.jobs import FetchArtifact


class LiveRelay:
    """Fulfils the port `Live`."""

    def __init__(
        self,
        *,
        fetchers: FetcherPool,
        queue: Queue,
        listener: Listener,
        facts: StoredFacts,
        objects: ObjectReader,
    ) -> None:
        self.fetchers = fetchers
        self.queue = queue
        self.listener = listener
        self.facts = facts
        self.objects = objects
        self.active = 0

    async def open(self, job: FetchArtifact, event: Event, *, byte_range: bytes = b"") -> Transfer | None:
        """See the port. Raises the job's error when it failed meanwhile."""
        transfer = Transfer(self, job, event, byte_range)
        try:
            connected = await transfer.connect()
        except BaseException:
            await transfer.aclose()
            raise
        if not connected:
            await transfer.aclose()
            return None
        return transfer
