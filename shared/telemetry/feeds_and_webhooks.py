"""Metrics of feeds of advisories, and of webhooks."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

from shared.telemetry.metrics import REGISTRY

WEBHOOK_DELIVERIES = Counter(
    "orchard_webhook_deliveries_total",
    "Events that this fetcher sent: delivered, failed, refused (given up: the receiver rejects it).",
    ("webhook", "result"),
    registry=REGISTRY,
)
WEBHOOK_WAITING = Gauge(
    "orchard_webhook_waiting_events", "Events that are not delivered yet.", ("webhook",), registry=REGISTRY
)
WEBHOOK_FAILING = Gauge(
    "orchard_webhook_failing",
    "1 while a webhook has failed for ten minutes, or is paused since it is dead or gone.",
    ("webhook",),
    registry=REGISTRY,
)
FEED_CONFIRMED = Gauge(
    "orchard_osv_feed_confirmed_at_seconds",
    "When a feed of advisories last said what it has (unix seconds; 0: never).",
    ("feed",),
    registry=REGISTRY,
)
FEED_FAULTY = Gauge(
    "orchard_osv_feed_faulty",
    "1 while what a feed of advisories has now does not count, or it is away.",
    ("feed",),
    registry=REGISTRY,
)
FEED_ADVISORIES = Gauge(
    "orchard_osv_feed_advisories", "Advisories that count, by feed.", ("feed",), registry=REGISTRY
)
