"""Webhooks, for operators: where events go, how it is with each, and a test."""

from __future__ import annotations

from litestar import Response, get, post
from litestar.response import Template

from services.gateway.api.admin.webhook_types import MadeWebhook, Webhook
from services.gateway.api.types import Page, Removed
from services.gateway.pages.asking import Ask, path_of
from shared.artifacts.webhook_types import TYPES
from shared.sources.answers import UpstreamTest


@get("/webhooks")
async def webhooks(ask: Ask) -> Template:
    """All, never their secrets."""
    return await _shown(ask)


@post("/webhooks", status_code=200)
async def create(ask: Ask) -> Template:
    """Make one; a secret that is made is shown on this page, once."""
    form = await ask.form()
    body = {
        "name": form.get("name", ""),
        "url": form.get("url", ""),
        "types": form.get("types", "").replace(",", " ").split() or ["*"],
        "secret": form.get("secret", ""),
        "mode": form.get("mode", "structured"),
        "allow_private": form.get("allow_private") == "yes",
    }
    return await _shown(ask, made=await ask.send("POST", path_of("admin", "webhooks"), MadeWebhook, body))


@post("/webhooks/{webhook:int}/test", status_code=200)
async def test(ask: Ask, webhook: int) -> Template:
    """Send a test event now, and show what came of it."""
    path = path_of("admin", "webhooks", webhook, "test")
    return await _shown(ask, tested=webhook, said=await ask.send("POST", path, UpstreamTest))


@post("/webhooks/{webhook:int}/pause", status_code=200)
async def pause(ask: Ask, webhook: int) -> Response[bytes]:
    """Events wait."""
    await ask.send("PATCH", path_of("admin", "webhooks", webhook), Webhook, {"paused": True})
    return ask.go("webhooks", "waiting")


@post("/webhooks/{webhook:int}/resume", status_code=200)
async def resume(ask: Ask, webhook: int) -> Response[bytes]:
    """What waits is delivered."""
    await ask.send("PATCH", path_of("admin", "webhooks", webhook), Webhook, {"paused": False})
    return ask.go("webhooks", "delivered")


@post("/webhooks/{webhook:int}/remove", status_code=200)
async def remove(ask: Ask, webhook: int) -> Response[bytes]:
    """With what waits for it."""
    await ask.send("DELETE", path_of("admin", "webhooks", webhook), Removed)
    return ask.go("webhooks", "removed")


async def _shown(
    ask: Ask, *, made: MadeWebhook | None = None, tested: int = 0, said: UpstreamTest | None = None
) -> Template:
    found = await ask.part(ask.get(path_of("admin", "webhooks"), Page[Webhook]))
    return ask.page(
        "webhooks/webhooks.html", "Webhooks", found=found, made=made, tested=tested, said=said, types=TYPES
    )


HANDLERS = [webhooks, create, test, pause, resume, remove]
