"""`WebhookRepository`: webhooks, each change with its line in the audit, in one statement."""

from __future__ import annotations

import msgspec

from services.gateway.api.admin.repository import Actor
from services.gateway.api.admin.webhook_types import NewWebhook, Webhook
from shared.errors import Conflict, EntryNotFound
from shared.postgres.database import Database, Row

MOST = 20
HINT = "`orchard webhooks list` shows them."

_FIELDS = """
    w.id, w.name, split_part(w.url, '?', 1) AS url, w.types, w.mode, w.allow_private, w.paused,
    w.fault, w.tries, w.delivered, w.dropped, w.created_by,
    extract(epoch FROM w.failing_since)::float8 AS failing_since,
    extract(epoch FROM w.delivered_at)::float8 AS delivered_at,
    extract(epoch FROM w.created_at)::float8 AS created_at
"""
_WAITING = "(SELECT count(*) FROM webhook_outbox o WHERE o.webhook = w.id) AS waiting"
# What the audit tells of one.
_NOTED = """jsonb_build_object('name', name, 'url', split_part(url, '?', 1), 'types', types, 'mode', mode,
    'allow_private', allow_private, 'paused', paused)"""

# $1: one, 0: all.
_LIST_WEBHOOKS = f"SELECT {_FIELDS}, {_WAITING} FROM webhooks w WHERE $1::bigint IN (0, w.id) ORDER BY w.id"  # noqa: S608

_ADD_WEBHOOK = f"""
WITH w AS (
    INSERT INTO webhooks (name, url, types, mode, allow_private, sealed, created_by)
    SELECT $3, $4, $5, $6, $7, $8, $1 WHERE (SELECT count(*) FROM webhooks) < $9
    ON CONFLICT DO NOTHING RETURNING *
), noted AS (
    INSERT INTO audit (who, request_id, action, target, after)
    SELECT $1, $2, 'webhook.create', name, {_NOTED} FROM w
)
SELECT {_FIELDS}, 0 AS waiting FROM w
"""  # noqa: S608 - of constants

# $4: what `paused` is to be. Delivered again, it starts anew.
_CHANGE_WEBHOOK = f"""
WITH before AS (SELECT {_NOTED} AS said FROM webhooks WHERE id = $3), w AS (
    UPDATE webhooks SET paused = $4, tries = 0, failing_since = NULL, next_at = now() WHERE id = $3
    RETURNING *
), noted AS (
    INSERT INTO audit (who, request_id, action, target, before, after)
    SELECT $1, $2, 'webhook.change', name, before.said, {_NOTED} FROM w, before
)
SELECT {_FIELDS}, {_WAITING} FROM w
"""  # noqa: S608 - of constants

_DROP_WEBHOOK = f"""
WITH gone AS (
    DELETE FROM webhooks WHERE id = $3 RETURNING *
), unsent AS (
    DELETE FROM webhook_outbox WHERE webhook = $3
), noted AS (
    INSERT INTO audit (who, request_id, action, target, before)
    SELECT $1, $2, 'webhook.delete', name, {_NOTED} FROM gone
)
SELECT name FROM gone
"""  # noqa: S608 - of constants


class WebhookRepository:
    """Every method raises `DatabaseUnavailable` besides what it names."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self) -> list[Webhook]:
        """All, the oldest first."""
        return [_webhook(row) for row in await self._database.fetch(_LIST_WEBHOOKS, 0)]

    async def find(self, webhook_id: int) -> Webhook:
        """Raises `EntryNotFound`."""
        return self._one(await self._database.fetchrow(_LIST_WEBHOOKS, webhook_id), webhook_id)

    async def add(self, actor: Actor, wanted: NewWebhook, sealed: str) -> Webhook:
        """Raises `Conflict` for a name that is taken, or for one too many."""
        row = await self._database.fetchrow(
            _ADD_WEBHOOK, actor.name, actor.request_id, wanted.name, wanted.url, wanted.types, wanted.mode,
            wanted.allow_private, sealed, MOST,
        )  # fmt: skip
        if row is None:
            full = len(await self.list()) >= MOST
            raise Conflict(
                f"there are {MOST} webhooks, which is the most" if full else f"name: {wanted.name} is taken",
                hint=HINT,
            )
        return _webhook(row)

    async def change(self, actor: Actor, webhook_id: int, paused: str) -> Webhook:
        """Raises `EntryNotFound`."""
        row = await self._database.fetchrow(_CHANGE_WEBHOOK, actor.name, actor.request_id, webhook_id, paused)
        return self._one(row, webhook_id)

    async def drop(self, actor: Actor, webhook_id: int) -> str:
        """With what waits for it; its name. Raises `EntryNotFound`."""
        row = await self._database.fetchrow(_DROP_WEBHOOK, actor.name, actor.request_id, webhook_id)
        if row is None:
            raise _absent(webhook_id)
        return str(row["name"])

    def _one(self, row: Row | None, webhook_id: int) -> Webhook:
        if row is None:
            raise _absent(webhook_id)
        return _webhook(row)


def _absent(webhook_id: int) -> EntryNotFound:
    return EntryNotFound(f"there is no webhook {webhook_id}", hint=HINT)


def _webhook(row: Row) -> Webhook:
    return msgspec.convert({**row}, Webhook)
