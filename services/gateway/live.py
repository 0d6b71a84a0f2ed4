"""The relay of downloads in progress: fetcher → gateway → client, each client at its own pace."""

from __future__ import annotations

from services.gateway.fetchers import FetcherPool
from services.gateway.gate import Gate
from services.gateway.live_source import ObjectReader, StoredFacts
from services.gateway.misses import Listener, Queue
from services.gateway.transfer import Transfer
from shared.events import Event
from shared.jobs import FetchArtifact
from shared.protocols.conditions import ByteRange


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
        gate: Gate,
    ) -> None:
        self.fetchers = fetchers
        self.queue = queue
        self.listener = listener
        self.facts = facts
        self.objects = objects
        self.gate = gate
        self.active = 0

    async def open(
        self, job: FetchArtifact, event: Event, *, wanted: ByteRange | None = None, promised: str = ""
    ) -> Transfer | None:
        """See the port. Raises the job's error when it failed meanwhile."""
        passed_on = wanted is not None and self.gate.may_pass_on(job.id, wanted, event.size_bytes, promised)
        transfer = Transfer(self, job, event, wanted, passed_on=passed_on)
        try:
            connected = await transfer.connect()
        except BaseException:
            await transfer.aclose()
            raise
        if not connected:
            await transfer.aclose()
            return None
        return transfer
