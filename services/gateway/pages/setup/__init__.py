"""Set me up: a client, this Orchard's address, with a token or without: the exact lines."""

from __future__ import annotations

import asyncio

from litestar import get
from litestar.response import Template

from services.gateway.api.client_config import Client, ClientConfig
from services.gateway.api.types import Page
from services.gateway.pages.asking import Ask, path_of


@get("/setup")
async def setup(ask: Ask, client: str = "", token: str = "", address: str = "") -> Template:
    """As `orchard client-config` shows it, by the same code."""
    clients = (await ask.get(path_of("client-config"), Page[Client])).items
    chosen = client or clients[0].client
    wanted = {"yes": "true", "no": "false"}.get(token, "")
    known = ask.get(path_of("client-config", clients[0].client), ClientConfig)
    shown = ask.get(path_of("client-config", chosen), ClientConfig, token=wanted, address=address)
    found, own = await asyncio.gather(ask.part(shown), known)
    return ask.page(
        "setup/setup.html",
        "Set up a client",
        clients=clients,
        chosen=chosen,
        found=found,
        address=address or own.address,
        token=token or ("yes" if own.token else "no"),
        public_urls=[url.rstrip("/") for url in ask.gateway.settings.public_url],
    )


HANDLERS = [setup]
