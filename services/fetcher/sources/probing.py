"""Asking a source whether it answers again, for `Breakers`."""

from __future__ import annotations

import asyncio

from services.fetcher.http.errors import error_of_status
from services.fetcher.http.manager import HttpClientManager
from services.fetcher.sources.breakers import COUNTED
from services.fetcher.sources.patience import head_seconds, silent
from services.fetcher.sources.probes import Probe
from shared.errors import OrchardError
from shared.models import UpstreamSource
from shared.settings import Settings


def probe_with(http: HttpClientManager, settings: Settings) -> Probe:
    """A probe for `Breakers`: HEAD, or a GET given up after its head where that is refused.

    Any answer counts as success except those that show a failure; so does a failure of our own, which says
    nothing about the upstream.
    """

    async def probe(source: UpstreamSource, url: str) -> OrchardError | None:
        error: OrchardError | None = None
        seconds = head_seconds(settings, source, page=True)
        try:
            async with asyncio.timeout(seconds):
                for method in ("HEAD", "GET"):
                    async with http.stream(source, url, method=method, lane="index") as response:
                        error = error_of_status(response.status, response.headers, f"upstream {source.name}")
                    if error is None or error.asked_to_wait:
                        break
        except TimeoutError:
            error = silent(source, seconds)
        except OrchardError as failure:
            error = failure
        return error if isinstance(error, COUNTED) else None

    return probe
