"""Tokens, for operators: who may read and who may administer. A new one is shown on one page, once."""

from __future__ import annotations

from litestar import Response, get, post
from litestar.response import Template

from services.gateway.api.admin.access_types import MadeToken, TokenEntry
from services.gateway.api.types import Page, Removed
from services.gateway.pages.asking import Ask, path_of


@get("/tokens")
async def tokens(ask: Ask) -> Template:
    """All, never the tokens themselves."""
    return await _shown(ask)


@post("/tokens", status_code=200)
async def create(ask: Ask) -> Template:
    """Make one, and show it."""
    form = await ask.form()
    body = {name: form.get(name, "") for name in ("name", "scope", "owner", "expires")}
    lists = {
        name: form.get(name, "").replace(",", " ").split() for name in ("networks", "protocols", "names")
    }
    return await _shown(ask, await ask.send("POST", path_of("admin", "tokens"), MadeToken, {**body, **lists}))


@post("/tokens/{token:int}/rotate", status_code=200)
async def rotate(ask: Ask, token: int) -> Template:
    """Make another in the place of one, and show it."""
    path = path_of("admin", "tokens", token, "rotate")
    return await _shown(ask, await ask.send("POST", path, MadeToken, {"expires": ""}))


@post("/tokens/{token:int}/revoke", status_code=200)
async def revoke(ask: Ask, token: int) -> Response[bytes]:
    """End one."""
    await ask.send("DELETE", path_of("admin", "tokens", token), Removed)
    return ask.go("tokens", "revoked")


async def _shown(ask: Ask, made: MadeToken | None = None) -> Template:
    found = await ask.part(ask.get(path_of("admin", "tokens"), Page[TokenEntry]))
    return ask.page("tokens/tokens.html", "Tokens", found=found, made=made)


HANDLERS = [tokens, create, rotate, revoke]
