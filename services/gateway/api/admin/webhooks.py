"""The admin API: webhooks, where events go (docs/webhooks.md)."""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from urllib.parse import urlsplit

import msgspec
from litestar import delete, get, patch, post

from services.gateway.api.admin import checks
from services.gateway.api.admin.fetcher_desk import FetcherDesk
from services.gateway.api.admin.repository import Actor
from services.gateway.api.admin.webhook_rows import WebhookRepository
from services.gateway.api.admin.webhook_types import MadeWebhook, NewWebhook, Webhook, WebhookChange
from services.gateway.api.types import Page, Removed
from shared.artifacts.webhook_types import TYPES, is_wanted
from shared.errors import InvalidParameter
from shared.http.urls import why_unaskable
from shared.sources.answers import UpstreamTest
from shared.sources.credentials import Credentials

_PATTERN = re.compile(r"[a-z_.]{0,80}\*?")
_SECRET = "whsec_"  # noqa: S105 - how Standard Webhooks' secrets begin
_MOST_PATTERNS = 64


@get("/api/v1/admin/webhooks", summary="Webhooks")
async def webhooks(webhook_repository: WebhookRepository) -> Page[Webhook]:
    """All, the oldest first; never their secrets."""
    return Page(await webhook_repository.list())


@post("/api/v1/admin/webhooks", summary="Make a webhook")
async def add_webhook(
    webhook_repository: WebhookRepository, actor: Actor, desk: FetcherDesk, data: NewWebhook
) -> MadeWebhook:
    """It gets what happens from now on. A secret that is made is in this answer and nowhere else."""
    wanted = msgspec.structs.replace(
        data, name=checks.source_name(data.name), url=_url(data.url), types=_types(data.types)
    )
    made = "" if data.secret else _SECRET + base64.b64encode(secrets.token_bytes(32)).decode()
    _check_secret(data.secret or made)
    sealed = await desk.seal(wanted.url, Credentials(token=data.secret or made))
    return MadeWebhook(await webhook_repository.add(actor, wanted, sealed), made)


@patch("/api/v1/admin/webhooks/{webhook_id:int}", summary="Pause or resume a webhook")
async def change_webhook(
    webhook_repository: WebhookRepository, actor: Actor, webhook_id: int, data: WebhookChange
) -> Webhook:
    """While it is paused events wait, at most so many and so long as docs/webhooks.md says."""
    return await webhook_repository.change(actor, webhook_id, "operator" if data.paused else "")


@delete("/api/v1/admin/webhooks/{webhook_id:int}", summary="Remove a webhook", status_code=200)
async def drop_webhook(webhook_repository: WebhookRepository, actor: Actor, webhook_id: int) -> Removed:
    """With what waits for it."""
    return Removed(await webhook_repository.drop(actor, webhook_id))


@post("/api/v1/admin/webhooks/{webhook_id:int}/test", summary="Send a test event now", status_code=200)
async def test_webhook(
    webhook_repository: WebhookRepository, desk: FetcherDesk, webhook_id: int
) -> UpstreamTest:
    """By a fetcher, paused or not. Returns the outcome and changes nothing."""
    await webhook_repository.find(webhook_id)
    return await desk.test_webhook(webhook_id)


def _url(text: str) -> str:
    """Raises `InvalidParameter`."""
    if len(text) > 2048 or not text.isascii() or not text.isprintable() or " " in text:
        raise InvalidParameter("url: expected an http(s) address")
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - raises for what is none
    except ValueError:
        raise InvalidParameter("url: not a valid URL") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidParameter("url: expected an http(s) address")
    if "@" in parts.netloc or parts.fragment:
        raise InvalidParameter("url: without user, password and fragment; receivers know us by the signature")
    if why := why_unaskable(text):
        raise InvalidParameter(f"url: cannot be asked: {why}")
    return text


def _types(wanted: list[str]) -> list[str]:
    """Raises `InvalidParameter` for none, too many, and for what no event has."""
    if not 0 < len(wanted) <= _MOST_PATTERNS:
        raise InvalidParameter(f"types: 1 to {_MOST_PATTERNS} of them, whole or up to a * at the end")
    for pattern in wanted:
        if not _PATTERN.fullmatch(pattern) or not any(is_wanted(pattern, each) for each in TYPES):
            raise InvalidParameter(
                f"types: no event is {pattern[:80]!r}; there are {', '.join(TYPES)}, and * for several"
            )
    return list(dict.fromkeys(wanted))


def _check_secret(text: str) -> None:
    """Raises `InvalidParameter`, which does not repeat it."""
    try:
        size = len(base64.b64decode(text.removeprefix(_SECRET), validate=True))
    except (ValueError, binascii.Error):
        size = 0
    if not text.startswith(_SECRET) or not 24 <= size <= 64:
        raise InvalidParameter(f"secret: expected {_SECRET} and 24 to 64 random bytes in base64")


HANDLERS = [webhooks, add_webhook, change_webhook, drop_webhook, test_webhook]
