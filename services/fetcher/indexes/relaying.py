"""The port to those who are given an index while it is read; `files/index_relay.py` fulfils it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from services.fetcher.http.response import UpstreamResponse
from shared.models import UpstreamSource
from shared.queue.context import JobContext
from shared.queue.jobs import FetchIndex


class IndexRelay(Protocol):
    """One run's answer, relayed to whoever waits for the body that its job names."""

    def opened(self, source: UpstreamSource, response: UpstreamResponse) -> None:
        """See `Upstreams.ask_index`."""
        ...

    async def read(self) -> None:
        """The index was read whole, and is one: its end may go out."""
        ...

    def close(self) -> None:
        """The run has ended. Unless all was `read`, readers break off. May be repeated."""
        ...


Relays = Callable[[JobContext, FetchIndex], IndexRelay]
