"""Signing in with a token, and out. Another way in begins its session where `sign_in` does."""

from __future__ import annotations

import re

from litestar import Response, get, post
from litestar.response import Template

from services.gateway.door.sessions import COOKIE, LIFE_SECONDS
from services.gateway.pages.asking import Ask
from shared.errors import OrchardError
from shared.errors.base import problem_of

_TO = re.compile(r"[A-Za-z0-9@._~%+:,=&?/-]{0,2000}")  # an address below the pages, as `way_in` makes it


@get("/signin")
async def form(ask: Ask, to: str = "") -> Template:
    """A field for a token."""
    return ask.page("signin/signin.html", "Sign in", to=_below(to), problem=None)


@post("/signin", status_code=200)
async def sign_in(ask: Ask) -> Template | Response[bytes]:
    """Begin a session for the token in the form. Guesses are slowed as everywhere."""
    fields = await ask.form()
    to = _below(fields.get("to", ""))
    client = ask.request.client
    try:
        authorization = f"Bearer {fields.get('token', '')}".encode()
        token = ask.gateway.access.grant_all(authorization, client.host if client else "")
        name = await ask.gateway.sessions.begin(token)
    except OrchardError as error:
        problem = problem_of(error, "")
        return ask.page("signin/signin.html", "Sign in", status=error.status, to=to, problem=problem)
    return _with_cookie(ask.go(to), name, LIFE_SECONDS, is_secure=ask.request.scope["scheme"] == "https")


@post("/signout", status_code=200)
async def sign_out(ask: Ask) -> Response[bytes]:
    """End the session."""
    await ask.gateway.sessions.end(dict(ask.request.scope["headers"]))
    return _with_cookie(ask.go(""), "", 0, is_secure=ask.request.scope["scheme"] == "https")


def _with_cookie(answer: Response[bytes], value: str, seconds: int, *, is_secure: bool) -> Response[bytes]:
    # Without Path it is for the folder of this address (RFC 6265, 5.1.4): the pages, whatever path a proxy
    # has put in front of them.
    cookie = f"{COOKIE}={value}; Max-Age={seconds}; HttpOnly; SameSite=Strict"
    answer.headers["set-cookie"] = cookie + "; Secure" * is_secure
    return answer


def _below(to: str) -> str:
    """An address below the pages; "" of anything else."""
    return to if _TO.fullmatch(to) and not to.startswith("/") and ":" not in to.partition("/")[0] else ""


HANDLERS = [form, sign_in, sign_out]
