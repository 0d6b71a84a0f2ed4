"""What both ways of signing in share: the page, and the cookie."""

from __future__ import annotations

from typing import Any, TypeVar
from urllib.parse import urlsplit

from litestar import Response
from litestar.response import Template

from services.gateway.door.sessions import COOKIE
from services.gateway.pages.asking import Ask
from shared.errors import OrchardError
from shared.errors.base import problem_of

Answer = TypeVar("Answer", bound="Response[Any] | Template")


def page_of(ask: Ask, to: str, error: OrchardError | None = None) -> Template:
    """The page that offers both ways; `error`: why it is shown again."""
    issuer = ask.gateway.settings.oidc_issuer
    return ask.page(
        "signin/signin.html",
        "Sign in",
        status=200 if error is None else error.status,
        to=to,
        problem=None if error is None else problem_of(error, ""),
        provider=urlsplit(issuer).hostname if issuer else "",
    )


def with_cookie(
    ask: Ask, answer: Answer, name: str, value: str, seconds: int, *, same_site: str = "Strict"
) -> Answer:
    """The answer with a cookie for the pages; `name` "" is the session's."""
    # Without Path it is for the folder of this address (RFC 6265, 5.1.4): the pages, whatever path a proxy
    # has put in front of them.
    cookie = f"{name or COOKIE}={value}; Max-Age={seconds}; HttpOnly; SameSite={same_site}"
    answer.headers["set-cookie"] = cookie + "; Secure" * (ask.request.scope["scheme"] == "https")
    return answer
