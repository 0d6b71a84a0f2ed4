"""What a fetcher says of itself with each heartbeat."""

from __future__ import annotations

from services.fetcher.http.manager import HttpClientManager
from services.fetcher.sources.breakers import Breakers
from services.fetcher.webhooks.keeper import WebhookKeeper
from shared.process.disk import DiskFloor
from shared.telemetry import metrics
from shared.worker.heartbeat import Figures, Pool


def figures_of(
    http: HttpClientManager, breakers: Breakers, webhooks: WebhookKeeper, floor: DiskFloor
) -> Figures:
    """Now; the metrics of its connections and breakers are set on the way."""
    breakers.show_open()
    pools = http.stats()
    for name, pool in pools.pools.items():
        metrics.UPSTREAM_CONNECTIONS.labels(name, "active").set(pool.active)
        metrics.UPSTREAM_CONNECTIONS.labels(name, "idle").set(pool.idle)
        metrics.UPSTREAM_WAITING.labels(name).set(pool.waiting)
    return Figures(
        http_pool=Pool(pools.active, pools.max),
        disk=floor.glance(),
        webhooks_failing=webhooks.failing,
        sources=http.answering.told(),
    )
