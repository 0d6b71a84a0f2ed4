"""Signing in by a provider: OpenID Connect's authorization code flow, with PKCE (RFC 7636), state and nonce.

What a sign-in is known again by lies in a cookie until the provider leads back: a stranger can begin any
number of them and fills no store. It is of use to nobody but the browser that has it. Nothing in a request is
a place to be sent to: the provider's address comes from its configuration, ours from ORCHARD_PUBLIC_URL, and
what follows is an address below the pages.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Mapping
from urllib.parse import urlencode, urlsplit

import msgspec
from litestar import Response, get
from litestar.response import Template

from services.gateway.door.sessions import LIFE_SECONDS
from services.gateway.pages.asking import Ask, below
from services.gateway.pages.signin.forms import page_of, with_cookie
from shared.access.trust import CodeAsked
from shared.errors import Forbidden, IdentityRefused, OrchardError, RouteNotFound
from shared.models import FORMAT
from shared.telemetry.logs import get_logger

log = get_logger()

BEGIN, BACK, OUT = "signin-elsewhere", "signed-in", "signed-out"
COOKIE = "orchard_signin"
UNDER_WAY_SECONDS = 600
LONGEST_CODE = 4096
SCOPES = ("openid", "profile", "email")

_SENT = re.compile(rb"(?:^|[;\s])" + COOKIE.encode() + rb"=([A-Za-z0-9_-]{1,4000})(?:$|[;\s])")
_WORD = re.compile(r"[a-z_]{1,60}")


class UnderWay(msgspec.Struct, frozen=True):
    """A sign-in that a browser has begun."""

    format: int
    until: float  # unix seconds
    state: str
    nonce: str
    verifier: str
    back: str  # where the provider leads to
    to: str  # the page that was wanted, below the pages


@get(f"/{BEGIN}")
async def begin(ask: Ask, to: str = "") -> Template | Response[bytes]:
    """Leads to the provider."""
    settings = ask.gateway.settings
    _check_offered(ask)
    try:
        door = await ask.gateway.identities.door()
    except OrchardError as error:
        return page_of(ask, below(to), error)
    made = UnderWay(
        format=FORMAT,
        until=time.time() + UNDER_WAY_SECONDS,
        state=secrets.token_urlsafe(32),
        nonce=secrets.token_urlsafe(32),
        verifier=secrets.token_urlsafe(48),
        back=_own(ask, BACK),
        to=below(to),
    )
    challenge = hashlib.sha256(made.verifier.encode()).digest()
    asked = {
        "response_type": "code",
        "client_id": settings.oidc_client_id,
        "redirect_uri": made.back,
        "scope": " ".join(dict.fromkeys((*SCOPES, *settings.oidc_scopes))),
        "state": made.state,
        "nonce": made.nonce,
        "code_challenge": _text(challenge),
        "code_challenge_method": "S256",
    }
    headers = {"location": _with(door, asked), "cache-control": "no-store"}
    answer = Response(b"", status_code=303, headers=headers)
    # Lax: the provider's page leads back, and Strict would not be sent then.
    value = _text(msgspec.msgpack.encode(made))
    return with_cookie(ask, answer, COOKIE, value, UNDER_WAY_SECONDS, same_site="Lax")


@get(f"/{BACK}")
async def back(ask: Ask, code: str = "", error: str = "", iss: str = "") -> Template:
    """Where the provider leads back to: begins the session."""
    _check_offered(ask)
    settings = ask.gateway.settings
    state = ask.request.query_params.get("state", "")
    made, client = _under_way(ask), ask.request.client
    try:
        if made is None or not hmac.compare_digest(made.state.encode(), state.encode()):
            where = settings.public_url[0].rstrip("/")
            raise Forbidden(
                "this sign-in was not begun in this browser, or some time ago",
                hint=f"Begin again at {where}/ui/signin.",
            )
        if iss and iss != settings.oidc_issuer:  # RFC 9207
            raise IdentityRefused("another provider than the one that was asked has answered (iss)")
        if error or not 0 < len(code) <= LONGEST_CODE:
            why = error if _WORD.fullmatch(error) else "without a code"
            raise IdentityRefused(f"the provider did not sign you in ({why})")
        asked = CodeAsked(code, made.verifier, made.back, settings.oidc_client_id, made.nonce)
        person = await ask.gateway.identities.person(asked, client.host if client else "")
        name = await ask.gateway.sessions.begin(person, is_grant=True)
    except OrchardError as failure:
        return page_of(ask, "" if made is None else below(made.to), failure)
    # A page, not a 303: the session's cookie is for requests that come from here (SameSite=Strict), and the
    # provider has begun this one.
    answer = ask.page("signin/signed_in.html", "Signed in", to=below(made.to), name=person.name)
    return with_cookie(ask, answer, "", name, LIFE_SECONDS)


@get(f"/{OUT}")
async def out(ask: Ask) -> Template:
    """After the session's end: the way to end the one at the provider too, where that offers it (OpenID
    Connect RP-Initiated Logout 1.0). The person chooses: other pages are signed in by it. Without the
    identity token, which nobody keeps here, the provider asks once more (section 2)."""
    _check_offered(ask)
    try:
        exit = await ask.gateway.identities.exit()
    except OrchardError as error:  # an older fetcher, too
        log.warning("exit_not_known", code=error.code)
        exit = ""
    asked = {
        "client_id": ask.gateway.settings.oidc_client_id,
        "post_logout_redirect_uri": _own(ask, "signin"),
    }
    issuer = ask.gateway.settings.oidc_issuer
    return ask.page(
        "signin/signed_out.html",
        "Signed out",
        provider=urlsplit(issuer).hostname,
        exit=_with(exit, asked) if exit else "",
    )


def _own(ask: Ask, page: str) -> str:
    """The address of a page, as the provider knows it."""
    host = ask.request.headers.get("host", "").encode("latin-1", "replace")
    return f"{ask.gateway.reader.base_urls.choose(host, ask.request.scope['scheme'])}/ui/{page}"


def _with(url: str, query: Mapping[str, str]) -> str:
    return f"{url}{'&' if '?' in url else '?'}{urlencode(query)}"


def _check_offered(ask: Ask) -> None:
    if not ask.gateway.settings.oidc_issuer:
        raise RouteNotFound("nobody signs in by a provider here: ORCHARD_OIDC_ISSUER is not set")


def _under_way(ask: Ask) -> UnderWay | None:
    found = _SENT.search(ask.request.headers.get("cookie", "").encode("latin-1", "replace"))
    if found is None:
        return None
    try:
        raw = base64.urlsafe_b64decode(found[1] + b"=" * (-len(found[1]) % 4))
        made = msgspec.msgpack.decode(raw, type=UnderWay)
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        return None
    whole = made.state and made.nonce and made.verifier
    return made if whole and made.format == FORMAT and time.time() < made.until else None


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


HANDLERS = [begin, back, out]
