"""`POST /api/v1/tokens/exchange`: a CI's identity token for a token to read with (RFC 8693).

Form fields or JSON members of the same names. Errors are problem documents with the members of RFC 6749
section 5.2 beside.
"""

from __future__ import annotations

import time
from typing import Any

import msgspec
from litestar import Request, Response, post

from services.gateway.api.identities import Identities
from shared.errors import IdentityRefused, InvalidParameter, OrchardError
from shared.errors.base import problem_body, problem_of

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - a type
SUBJECT_TYPES = frozenset(f"urn:ietf:params:oauth:token-type:{each}" for each in ("id_token", "jwt"))


class Asked(msgspec.Struct, frozen=True):
    """A request; what RFC 8693 knows besides (`audience`, `scope`, …) changes nothing: a rule decides."""

    subject_token: str
    grant_type: str = GRANT_TYPE
    subject_token_type: str = "urn:ietf:params:oauth:token-type:id_token"  # noqa: S105 - a type

    def __repr__(self) -> str:
        return "Asked()"


class ExchangedToken(msgspec.Struct, frozen=True):
    """RFC 8693 section 2.2.1."""

    access_token: str
    expires_in: int  # seconds
    name: str  # as the audit and the ledger call the bearer
    scope: str = "read"
    issued_token_type: str = ACCESS_TOKEN
    token_type: str = "Bearer"  # noqa: S105 - a type

    def __repr__(self) -> str:
        return "ExchangedToken()"


@post(
    "/api/v1/tokens/exchange",
    summary="Exchange a CI's identity token for a short-lived token",
    status_code=200,
    tags=["access"],
)
async def exchange(request: Request[Any, Any, Any], identities: Identities, request_id: str) -> Response[Any]:
    """Fields: `subject_token`, and as in RFC 8693 `grant_type`, `subject_token_type`. Needs no token."""
    client = request.client.host if request.client else ""
    try:
        asked = await _read(request)
        made = await identities.exchange(asked.subject_token, client)
    except OrchardError as error:
        return _refusal(error, request_id)
    bounds = made.known.bounds
    assert bounds is not None
    left = int(bounds.expires_at - time.time())
    body = msgspec.json.encode(ExchangedToken(made.token, left, made.known.name))
    return Response(body, media_type="application/json", headers={"cache-control": "no-store"})


async def _read(request: Request[Any, Any, Any]) -> Asked:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        if kind == "application/x-www-form-urlencoded":
            fields = await request.form()
            asked = msgspec.convert({name: fields[name] for name in fields}, type=Asked)
        else:
            asked = msgspec.json.decode(await request.body(), type=Asked)
    except (msgspec.MsgspecError, RecursionError):
        raise InvalidParameter("subject_token: expected in a form or in JSON") from None
    if asked.grant_type != GRANT_TYPE:
        raise InvalidParameter(f"grant_type: expected {GRANT_TYPE}")
    if asked.subject_token_type not in SUBJECT_TYPES:
        raise InvalidParameter("subject_token_type: expected id_token or jwt of RFC 8693")
    return msgspec.structs.replace(asked, subject_token=asked.subject_token.strip())


def _refusal(error: OrchardError, request_id: str) -> Response[bytes]:
    code = "invalid_grant" if isinstance(error, IdentityRefused) else "invalid_request"
    code = "temporarily_unavailable" if error.status in (429, 503) else code
    own = {"error": code, "error_description": error.message}
    kind, body = problem_body(problem_of(error, request_id), own)
    headers = {"cache-control": "no-store"}
    if error.status in (429, 503):
        headers["retry-after"] = str(error.retry_after_seconds or 1)
    return Response(body, status_code=error.status, media_type=kind, headers=headers)


HANDLERS = [exchange]
