"""The rows of webhooks and of their outbox. A webhook is held by one fetcher for a time, as a job by its
lease; times are Postgres's."""

from __future__ import annotations

from typing import Any

import msgspec

from services.fetcher.webhooks.envelope import Outgoing
from shared.postgres.database import Database

MOST_WAITING = 10_000  # events of one webhook: the oldest go first
KEPT_DAYS = 7

_SHOWN = "w.id, w.name, w.url, w.mode, w.allow_private, w.sealed, w.tries"

# $1 holder, $2 seconds, $3 how many.
_CLAIM_WEBHOOKS = f"""
WITH due AS (
    SELECT id FROM webhooks w WHERE paused = '' AND next_at <= now() AND held_until <= now()
        AND EXISTS (SELECT FROM webhook_outbox o WHERE o.webhook = w.id)
    ORDER BY next_at, id LIMIT $3 FOR UPDATE SKIP LOCKED
)
UPDATE webhooks w SET holder = $1, held_until = now() + make_interval(secs => $2)
FROM due WHERE w.id = due.id RETURNING {_SHOWN}
"""  # noqa: S608 - of constants

_FIND_WEBHOOK = f"SELECT {_SHOWN} FROM webhooks w WHERE w.id = $1"  # noqa: S608 - of constants

# $1 webhook, $2 holder, $3 seconds. Nothing: it is held by another, paused or removed, or all is delivered.
_NEXT_EVENT = """
WITH held AS (
    UPDATE webhooks SET held_until = now() + make_interval(secs => $3)
    WHERE id = $1 AND holder = $2 AND paused = '' RETURNING id
)
SELECT o.id, o.event::text AS event, extract(epoch FROM o.at)::float8 AS at, o.type, o.subject,
    o.data::text AS data
FROM webhook_outbox o JOIN held ON o.webhook = held.id ORDER BY o.id LIMIT 1
"""

# $1 webhook, $2 outbox row, $3 how many were delivered, $4 how many were given up: these end no failing.
_EVENT_DONE = """
WITH gone AS (DELETE FROM webhook_outbox WHERE id = $2 AND webhook = $1 RETURNING id)
UPDATE webhooks SET delivered = delivered + $3, dropped = dropped + $4,
    tries = CASE WHEN $3 > 0 THEN 0 ELSE tries END, fault = CASE WHEN $3 > 0 THEN '' ELSE fault END,
    failing_since = CASE WHEN $3 > 0 THEN NULL ELSE failing_since END,
    delivered_at = CASE WHEN $3 > 0 THEN now() ELSE delivered_at END
WHERE id = $1 AND EXISTS (SELECT FROM gone)
"""

# $1 webhook, $2 holder, $3 why, $4 seconds until the next try, $5 seconds after which it is dead, $6 gone.
_WEBHOOK_FAILED = """
WITH failed AS (
    UPDATE webhooks SET tries = tries + 1, failing_since = coalesce(failing_since, now()), fault = $3,
        next_at = now() + make_interval(secs => $4), holder = '', held_until = 'epoch',
        paused = CASE WHEN $6 THEN 'gone'
            WHEN failing_since <= now() - make_interval(secs => $5) THEN 'dead' ELSE '' END
    WHERE id = $1 AND holder = $2 AND paused = '' RETURNING id, paused
), unwanted AS (
    DELETE FROM webhook_outbox o USING failed WHERE o.webhook = failed.id AND failed.paused = 'gone'
)
SELECT paused FROM failed
"""

_LET_GO = "UPDATE webhooks SET holder = '', held_until = 'epoch' WHERE id = $1 AND holder = $2"

_RESEAL_WEBHOOK = "UPDATE webhooks SET sealed = $3 WHERE id = $1 AND sealed = $2"

# $1 most of one webhook, $2 days.
_TIDY_OUTBOX = """
WITH ranked AS (
    SELECT id, at, webhook, row_number() OVER (PARTITION BY webhook ORDER BY id DESC) AS place
    FROM webhook_outbox
), gone AS (
    DELETE FROM webhook_outbox o USING ranked r
    WHERE o.id = r.id AND (r.place > $1 OR r.at < now() - make_interval(days => $2)
        OR NOT EXISTS (SELECT FROM webhooks w WHERE w.id = r.webhook))
    RETURNING o.webhook
)
UPDATE webhooks w SET dropped = w.dropped + g.many
FROM (SELECT webhook, count(*) AS many FROM gone GROUP BY webhook) g WHERE w.id = g.webhook
"""

_STANDING = """
SELECT w.name, (SELECT count(*) FROM webhook_outbox o WHERE o.webhook = w.id) AS waiting,
    w.paused IN ('dead', 'gone')
        OR coalesce(w.failing_since < now() - interval '10 minutes', false) AS failing
FROM webhooks w
"""

# Each notices one thing, and tells it once. $1 what it is about, $2 seconds that it must last, $3 the type,
# $4 the subject, $5 the data.
_NOTICE_FAILING = """
WITH seen AS (INSERT INTO webhook_noticed (subject) VALUES ($1) ON CONFLICT DO NOTHING),
lasting AS (
    UPDATE webhook_noticed SET told = true
    WHERE subject = $1 AND NOT told AND since <= now() - make_interval(secs => $2) RETURNING since
)
SELECT tell_webhooks($3, $4, $5::jsonb || jsonb_build_object('since', extract(epoch FROM since)::float8))
FROM lasting
"""

# $1 what begins the subjects, $2 those that stand; each that is gone and was told is told as type $3.
_NOTICE_RECOVERED = """
WITH gone AS (
    DELETE FROM webhook_noticed WHERE starts_with(subject, $1) AND subject <> ALL($2::text[])
    RETURNING subject, since, told
)
SELECT tell_webhooks($3, substr(subject, length($1) + 1), jsonb_build_object(
    'upstream', substr(subject, length($1) + 1), 'since', extract(epoch FROM since)::float8))
FROM gone WHERE told
"""

_NOTICED_LAST = """
INSERT INTO webhook_noticed (subject, told, last) VALUES ($1, true, $2)
ON CONFLICT (subject) DO UPDATE SET told = true RETURNING last
"""

_NOTICED_SINCE = "SELECT subject FROM webhook_noticed WHERE starts_with(subject, $1)"

# $1 what it is about, $2 the type, $3 the subject, $4 the data.
_NOTICE_ONCE = """
WITH first AS (
    INSERT INTO webhook_noticed (subject, told) VALUES ($1, true) ON CONFLICT DO NOTHING RETURNING subject
)
SELECT tell_webhooks($2, $3, $4::jsonb) FROM first
"""

# $1 what it is about, $2 a place in an order, as text.
_NOTICED_UP_TO = """
WITH later AS (
    UPDATE webhook_noticed SET last = $2
    WHERE subject = $1 AND last COLLATE "C" < $2 COLLATE "C" RETURNING subject
)
DELETE FROM webhook_noticed n USING later
WHERE starts_with(n.subject, later.subject || ' ')
    AND n.subject COLLATE "C" <= (later.subject || ' ' || $2) COLLATE "C"
"""


class Webhook(msgspec.Struct, frozen=True):
    """A target, as far as delivering needs it. `sealed` holds its secret."""

    id: int
    name: str
    url: str
    mode: str
    allow_private: bool
    sealed: str
    tries: int


class Standing(msgspec.Struct, frozen=True):
    """How it is with one. `failing`: for ten minutes, or until a person resumes it."""

    name: str
    waiting: int
    failing: bool


class WebhookRows:
    """Every method raises `DatabaseUnavailable`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(self, holder: str, seconds: float, most: int) -> list[Webhook]:
        """Up to `most` webhooks that have something due, held for `seconds`."""
        return [Webhook(**row) for row in await self._database.fetch(_CLAIM_WEBHOOKS, holder, seconds, most)]

    async def find(self, webhook_id: int) -> Webhook | None:
        """One, held or not."""
        row = await self._database.fetchrow(_FIND_WEBHOOK, webhook_id)
        return None if row is None else Webhook(**row)

    async def next(self, webhook_id: int, holder: str, seconds: float) -> tuple[int, Outgoing] | None:
        """The oldest event that waits, with the id of its row; holds the webhook anew."""
        row = await self._database.fetchrow(_NEXT_EVENT, webhook_id, holder, seconds)
        if row is None:
            return None
        data = msgspec.json.decode(row["data"])
        return row["id"], Outgoing(row["event"], row["at"], row["type"], row["subject"], data)

    async def done(self, webhook_id: int, row: int, *, delivered: bool) -> None:
        """An event is delivered, or given up."""
        await self._database.execute(_EVENT_DONE, webhook_id, row, int(delivered), int(not delivered))

    async def failed(
        self, webhook_id: int, holder: str, why: str, *, again: float, dead_after: float, gone: bool
    ) -> str:
        """Lets go of it until the next try; "dead" or "gone" where there is none now."""
        row = await self._database.fetchrow(
            _WEBHOOK_FAILED, webhook_id, holder, why[:500], again, dead_after, gone
        )
        return "" if row is None else row["paused"]

    async def release(self, webhook_id: int, holder: str) -> None:
        """Let go of it."""
        await self._database.execute(_LET_GO, webhook_id, holder)

    async def reseal(self, webhook: Webhook, sealed: str) -> None:
        """Its secret, sealed with the key of now."""
        await self._database.execute(_RESEAL_WEBHOOK, webhook.id, webhook.sealed, sealed)

    async def tidy(self) -> None:
        """Drop what is too much or too old, and what is left of webhooks that were removed."""
        await self._database.execute(_TIDY_OUTBOX, MOST_WAITING, KEPT_DAYS)

    async def standing(self) -> list[Standing]:
        """How it is with each."""
        return [Standing(**row) for row in await self._database.fetch(_STANDING)]

    # --- what is noticed ------------------------------------------------------------------------------

    async def failing(self, key: str, lasting: float, told: str, subject: str, data: object) -> None:
        """Tell, once, what is seen to fail for `lasting` seconds."""
        await self._database.execute(_NOTICE_FAILING, key, lasting, told, subject, _text(data))

    async def recovered(self, prefix: str, standing: list[str], told: str) -> None:
        """Tell that of what failed all but `standing` does no more."""
        await self._database.execute(_NOTICE_RECOVERED, prefix, standing, told)

    async def last(self, key: str, first: str) -> str:
        """The place up to which all was told; `first`, which is noted, where none is."""
        row = await self._database.fetchrow(_NOTICED_LAST, key, first)
        assert row is not None
        return str(row["last"])

    async def told_since(self, key: str) -> set[str]:
        """The places after `last` that were told."""
        rows = await self._database.fetch(_NOTICED_SINCE, f"{key} ")
        return {row["subject"].removeprefix(f"{key} ") for row in rows}

    async def once(self, key: str, place: str, told: str, subject: str, data: object) -> None:
        """Tell what has a place after `last`, and remember that."""
        await self._database.execute(_NOTICE_ONCE, f"{key} {place}", told, subject, _text(data))

    async def up_to(self, key: str, place: str) -> None:
        """Let `last` be this place, if it is a later one, and forget what is before it."""
        await self._database.execute(_NOTICED_UP_TO, key, place)


def _text(data: object) -> str:
    return msgspec.json.encode(_without_nul(data)).decode()


def _without_nul(value: Any) -> Any:
    """Postgres keeps no NUL in a text."""
    if isinstance(value, str):
        return value.replace("\0", "")
    if isinstance(value, dict):
        return {_without_nul(key): _without_nul(each) for key, each in value.items()}
    return [_without_nul(each) for each in value] if isinstance(value, (list, tuple)) else value
