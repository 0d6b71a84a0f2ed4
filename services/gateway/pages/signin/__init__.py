"""Signing in with a token, and out. `provider.py` is the other way in."""

from __future__ import annotations

from litestar import Response, get, post
from litestar.response import Template

from services.gateway.door.sessions import LIFE_SECONDS
from services.gateway.pages.asking import Ask, below
from services.gateway.pages.signin import provider
from services.gateway.pages.signin.forms import page_of, with_cookie
from shared.errors import OrchardError


@get("/signin")
async def form(ask: Ask, to: str = "") -> Template:
    """A field for a token, and the provider if there is one."""
    return page_of(ask, below(to))


@post("/signin", status_code=200)
async def sign_in(ask: Ask) -> Template | Response[bytes]:
    """Begin a session for the token in the form. Guesses are slowed as everywhere."""
    fields = await ask.form()
    to = below(fields.get("to", ""))
    client = ask.request.client
    try:
        authorization = f"Bearer {fields.get('token', '')}".encode()
        token = ask.gateway.access.grant_all(authorization, client.host if client else "")
        name = await ask.gateway.sessions.begin(token)
    except OrchardError as error:
        return page_of(ask, to, error)
    return with_cookie(ask, ask.go(to), "", name, LIFE_SECONDS)


@post("/signout", status_code=200)
async def sign_out(ask: Ask) -> Response[bytes]:
    """End the session. Who came by a provider is shown the way out there."""
    elsewhere = await ask.gateway.sessions.end(dict(ask.request.scope["headers"]))
    return with_cookie(ask, ask.go(provider.OUT if elsewhere else ""), "", "", 0)


HANDLERS = [form, sign_in, sign_out, *provider.HANDLERS]
