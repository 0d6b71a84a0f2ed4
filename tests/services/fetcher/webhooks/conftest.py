"""A keeper of webhooks over real stores, whose turns a test takes itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest_asyncio

from services.fetcher.http.manager import HttpClientManager
from services.fetcher.webhooks.keeper import WebhookKeeper
from services.fetcher.webhooks.noticing import Noticing
from services.fetcher.webhooks.rows import WebhookRows
from services.fetcher.webhooks.sending import Sender
from shared.models import UpstreamSource
from shared.postgres.database import Database
from shared.process.resources import Resources
from shared.queue.dead import DeadLetters
from shared.settings import load_settings
from shared.sources.box import SealingBox
from shared.sources.credentials import Credentials
from shared.stores import Stores, open_stores
from tests.support.orchard import SECRET_KEY
from tests.support.receiver import SECRET, Receiver, receiver

__all__ = ["receiver"]


@dataclass
class Post:
    """Stores, a keeper, and a way to make webhooks and events as the admin API does."""

    stores: Stores
    http: HttpClientManager
    box: SealingBox
    sources: list[UpstreamSource]

    @property
    def database(self) -> Database:
        return self.stores.database

    def keeper(self, *, dead_after: float = 3600.0, box: SealingBox | None = None) -> WebhookKeeper:
        rows = WebhookRows(self.database)
        letters = DeadLetters(self.stores.queue_redis)
        return WebhookKeeper(
            rows,
            Sender(self.http, box or self.box, rows, own_name=lambda: "tests"),
            Noticing(rows, self.stores.cache, letters, sources=lambda: self.sources, lasting=0.0),
            self.stores.artifacts,
            self.stores.queue_redis,
            dead_after=dead_after,
        )

    async def add(self, receiver: Receiver | str, name: str = "alerts", **values: Any) -> int:
        """A webhook; its id."""
        url = receiver if isinstance(receiver, str) else receiver.url
        given = {"types": ["*"], "mode": "structured", "allow_private": True, **values}
        sealed = given.pop("sealed", None) or self.box.seal(Credentials(token=SECRET), url)
        row = await self.database.fetchrow(
            "INSERT INTO webhooks (name, url, types, mode, allow_private, sealed) "
            "VALUES ($1, $2, $3, $4, $5, $6) RETURNING id",
            name, url, given["types"], given["mode"], given["allow_private"], sealed,
        )  # fmt: skip
        assert row is not None
        return int(row["id"])

    async def happens(self, *names: str, kind: str = "empty_index") -> None:
        """One event for operators of each project."""
        for name in names:
            await self.stores.artifacts.record_event(kind, "pypi", name, "", {"why": "a test"})  # type: ignore[arg-type]

    async def deliver(self, keeper: WebhookKeeper) -> None:
        """All that is due now, to all that are due."""
        rows = WebhookRows(self.database)
        for webhook in await rows.claim(keeper._holder, 60.0, 8):
            await keeper.deliver(webhook)

    async def row(self, webhook: int) -> dict[str, Any]:
        row = await self.database.fetchrow("SELECT * FROM webhooks WHERE id = $1", webhook)
        assert row is not None
        return {**row}

    async def waiting(self) -> list[str]:
        rows = await self.database.fetch("SELECT type FROM webhook_outbox ORDER BY id")
        return [row["type"] for row in rows]

    async def due_now(self) -> None:
        """As if the pause before the next try, and what another held, were over."""
        await self.database.execute("UPDATE webhooks SET next_at = now(), held_until = 'epoch'")


@pytest_asyncio.fixture
async def post(store_settings: dict[str, str]) -> AsyncIterator[Post]:
    settings = load_settings({**store_settings, "ORCHARD_SECRET_KEY": SECRET_KEY})
    async with Resources() as resources:
        stores = await open_stores(resources, settings)
        http = await resources.open("http", HttpClientManager.from_settings(settings))
        yield Post(stores, http, SealingBox.from_texts(settings.secret_key), [])
