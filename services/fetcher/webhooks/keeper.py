"""`WebhookKeeper`: delivers what waits in the outbox, each webhook's in order, by one fetcher at a time.

Sent, then noted: what is killed in between is sent again under the same id. A webhook that fails holds up its
own events alone. No job and no request waits for any of this.
"""

from __future__ import annotations

import asyncio
import secrets
import uuid

from services.fetcher.webhooks.envelope import Outgoing
from services.fetcher.webhooks.noticing import Noticing
from services.fetcher.webhooks.rows import Webhook, WebhookRows
from services.fetcher.webhooks.sending import SECONDS, Outcome, Sender
from shared.artifacts.repository import ArtifactRepository
from shared.artifacts.webhook_types import TEST
from shared.process.periodic import Backoff, Every
from shared.redis import clock
from shared.redis.client import RedisClient
from shared.redis.script import take_mark
from shared.telemetry.feeds_and_webhooks import WEBHOOK_DELIVERIES, WEBHOOK_FAILING, WEBHOOK_WAITING
from shared.telemetry.logs import get_logger

log = get_logger()

TURN_SECONDS = 1.0
IDLE_SECONDS = 5.0  # where there is no webhook
NOTICING_SECONDS = 5.0
TIDY_SECONDS = 60.0
HELD_SECONDS = 3 * SECONDS
AT_ONCE = 8  # webhooks of one fetcher
IN_A_ROW = 100  # events of one webhook, before others have their turn
TRIES_OF_REFUSED = 5
FIRST_PAUSE_SECONDS = 2.0
LAST_PAUSE_SECONDS = 1800.0


class WebhookKeeper:
    """Of one fetcher, while open."""

    def __init__(
        self,
        rows: WebhookRows,
        sender: Sender,
        noticing: Noticing,
        artifacts: ArtifactRepository,
        queue_redis: RedisClient,
        *,
        dead_after: float,
    ) -> None:
        """`dead_after`: seconds of failing after which a webhook is paused."""
        self._rows = rows
        self._sender = sender
        self._noticing = noticing
        self._artifacts = artifacts
        self._redis = queue_redis
        self._dead_after = dead_after
        self._holder = secrets.token_hex(8)
        self._running: set[asyncio.Task[None]] = set()
        self._shown: set[str] = set()
        self._refused: dict[int, tuple[int, int]] = {}  # by webhooks: a row, and how often we saw it refused
        self.failing = 0  # webhooks, as last read: for /health
        self._turns = Every(TURN_SECONDS, self._turn, name="webhooks")

    async def open(self) -> None:
        """Start."""
        await self._turns.open()

    async def aclose(self) -> None:
        """Stop, in the middle of a delivery if need be: it is made again."""
        await self._turns.aclose()
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def test(self, webhook_id: int) -> Outcome | None:
        """Send a test event now, whether it is paused or not; None: there is no such webhook."""
        webhook = await self._rows.find(webhook_id)
        if webhook is None:
            return None
        event = Outgoing(str(uuid.uuid4()), clock.now(), TEST, webhook.name, {"webhook": webhook.name})
        return await self._sender.send(webhook, event)

    async def _turn(self) -> float | None:
        standing = await self._rows.standing()
        self._show(
            {each.name: each.waiting for each in standing}, {each.name for each in standing if each.failing}
        )
        if await take_mark(self._redis, "orchard:webhooks:tidy", TIDY_SECONDS):
            await self._rows.tidy()
        if not standing:
            return IDLE_SECONDS
        if await take_mark(self._redis, "orchard:webhooks:noticing", NOTICING_SECONDS):
            await self._noticing.look()
        for webhook in await self._rows.claim(self._holder, HELD_SECONDS, AT_ONCE - len(self._running)):
            task = asyncio.create_task(self.deliver(webhook))
            self._running.add(task)
            task.add_done_callback(self._ended)
        return None

    async def deliver(self, webhook: Webhook) -> None:
        """What waits for one that is held. Raises what the database raises: it is held until that is over."""
        tries = webhook.tries
        for _ in range(IN_A_ROW):
            found = await self._rows.next(webhook.id, self._holder, HELD_SECONDS)
            if found is None:
                break
            row, event = found
            outcome = await self._sender.send(webhook, event)
            refused = outcome.refused and self._refusals(webhook.id, row) >= TRIES_OF_REFUSED
            result = "delivered" if outcome.ok else "refused" if refused else "failed"
            WEBHOOK_DELIVERIES.labels(webhook.name, result).inc()
            if not outcome.ok and not refused:
                await self._failed(webhook, outcome, tries)
                return
            if refused:
                log.warning("webhook_event_refused", webhook=webhook.name, type=event.type)
            await self._rows.done(webhook.id, row, delivered=outcome.ok)
            self._refused.pop(webhook.id, None)
            tries = 0 if outcome.ok else tries
        await self._rows.release(webhook.id, self._holder)

    def _refusals(self, webhook_id: int, row: int) -> int:
        before, count = self._refused.get(webhook_id, (row, 0))
        self._refused[webhook_id] = row, count + 1 if before == row else 1
        return self._refused[webhook_id][1]

    async def _failed(self, webhook: Webhook, outcome: Outcome, tries: int) -> None:
        pause = Backoff(FIRST_PAUSE_SECONDS * 2.0 ** min(tries, 16), LAST_PAUSE_SECONDS).pause()
        again = max(outcome.wait, min(pause, LAST_PAUSE_SECONDS))
        paused = await self._rows.failed(
            webhook.id,
            self._holder,
            outcome.detail,
            again=again,
            dead_after=self._dead_after,
            gone=outcome.gone,
        )
        log.info("webhook_failed", webhook=webhook.name, status=outcome.status, reason=outcome.detail)
        if paused:
            log.warning("webhook_paused", webhook=webhook.name, because=paused, reason=outcome.detail)
            detail = {"webhook": webhook.name, "because": paused, "fault": outcome.detail}
            await self._artifacts.record_event("webhook_paused", "", "", "", detail)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.info("webhook_not_noted", error=type(error).__name__)

    def _show(self, waiting: dict[str, int], failing: set[str]) -> None:
        self.failing = len(failing)
        for name in self._shown - waiting.keys():
            WEBHOOK_WAITING.remove(name)
            WEBHOOK_FAILING.remove(name)
        for name, count in waiting.items():
            WEBHOOK_WAITING.labels(name).set(count)
            WEBHOOK_FAILING.labels(name).set(name in failing)
        self._shown = set(waiting)
