"""`Sender`: one event to one webhook, once. What comes back is a status; the body is not read."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import msgspec

from services.fetcher.http.egress import EgressPolicy, origin_of
from services.fetcher.http.errors import retry_after_seconds
from services.fetcher.http.manager import HttpClientManager
from services.fetcher.webhooks.envelope import Outgoing, requested
from services.fetcher.webhooks.rows import Webhook, WebhookRows
from shared.errors import OrchardError
from shared.models import SourceLimits, UpstreamSource
from shared.protocols import PROTOCOLS
from shared.sources.box import SealingBox

SECONDS = 10.0  # of one request, from connecting to the status
CONNECTIONS = 2  # to one receiver: none of those that jobs need
_REFUSED = frozenset({400, 413, 415, 422})  # it is about what the event says, not about the receiver


class Outcome(msgspec.Struct, frozen=True):
    """How it went. `refused`: the receiver rejects this event, not all. `wait`: seconds that it asks for."""

    ok: bool
    status: int = 0  # 0: no answer
    detail: str = ""
    refused: bool = False
    gone: bool = False
    wait: float = 0.0


class Sender:
    """Of one fetcher."""

    def __init__(
        self, http: HttpClientManager, box: SealingBox, rows: WebhookRows, *, own_name: Callable[[], str]
    ) -> None:
        self._http = http
        self._box = box
        self._rows = rows
        self._own_name = own_name

    async def send(self, webhook: Webhook, event: Outgoing) -> Outcome:
        """Raises nothing: what is wrong is in the outcome, without any secret."""
        try:
            credentials = self._box.open(webhook.sealed, webhook.url)
            if not self._box.is_current(webhook.sealed):
                await self._rows.reseal(webhook, self._box.seal(credentials, webhook.url))
            source = f"/orchard/{self._own_name()}".rstrip("/")
            headers, body = requested(event, source, webhook.mode, credentials.token, time.time())
            async with asyncio.timeout(SECONDS):
                return await self._request(webhook, headers, body)
        except TimeoutError:
            return Outcome(False, detail=f"no answer within {SECONDS:.0f} s")
        except OrchardError as error:
            return Outcome(False, detail=error.message)
        except ValueError:
            return Outcome(False, detail="its secret is damaged: remove the webhook and make it again")

    async def _request(self, webhook: Webhook, headers: dict[str, str], body: bytes) -> Outcome:
        policy = EgressPolicy(origin_of(webhook.url), allow_private=webhook.allow_private)
        async with self._http.stream(
            _as_source(webhook),
            webhook.url,
            method="POST",
            headers=headers,
            content=body,
            lane="index",
            policy=policy,
            follow=False,
        ) as response:
            status = response.status
            wait = float(retry_after_seconds(response.headers))
        if 200 <= status < 300:
            return Outcome(True, status, f"it answered {status}")
        detail = f"it answered {status}"
        if 300 <= status < 400:
            detail += ", a redirect, which is not followed: what is signed is for this address"
        return Outcome(False, status, detail, status in _REFUSED, status == 410, wait)


def _as_source(webhook: Webhook) -> UpstreamSource:
    """For connections of its own; it has no credentials."""
    return UpstreamSource(
        id=-1_000_000 - webhook.id,  # no row's, no feed's, and no issuer's
        protocol=PROTOCOLS[0].name,
        name=f"webhook-{webhook.name}",
        url=webhook.url,
        allow_private=webhook.allow_private,
        limits=SourceLimits(max_connections=CONNECTIONS),
    )
