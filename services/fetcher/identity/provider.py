"""The provider by which people sign in: its authorization code exchanged for an identity token (OpenID
Connect Core 3.1.3, RFC 7636). The client's secret is here alone: gateways have none.
"""

from __future__ import annotations

import asyncio
import base64
import re
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from services.fetcher.http.manager import HttpClientManager
from services.fetcher.http.response import FetchedBody
from services.fetcher.identity.issuers import MAX_BYTES, TIMEOUT_SECONDS, Issuers, Known, whole
from shared.errors import IdentityRefused, TooLarge
from shared.errors.passing import IssuerUnavailable
from shared.settings import Settings

_WORD = re.compile(r"[a-z_]{1,60}")  # an error of RFC 6749, section 5.2


class _Tokens(msgspec.Struct, frozen=True):
    id_token: str


class _Fault(msgspec.Struct, frozen=True):
    error: str = ""


class Provider:
    """The one of ORCHARD_OIDC_ISSUER. Methods raise `IssuerUnavailable`."""

    def __init__(self, settings: Settings, issuers: Issuers, http: HttpClientManager) -> None:
        self.issuer = settings.oidc_issuer
        self._client = settings.oidc_client_id
        self._secret = settings.oidc_client_secret
        self._issuers = issuers
        self._http = http

    async def door(self) -> str:
        """Where people are sent."""
        url = (await self._known()).metadata.authorization_endpoint
        if not self._is_place(url):
            raise IssuerUnavailable(f"{self.issuer} names no place to sign in at")
        return url

    async def exit(self) -> str:
        """Where people end their session at the provider; "" where it offers none."""
        url = (await self._known()).metadata.end_session_endpoint
        return url if self._is_place(url) else ""

    def _is_place(self, url: str) -> bool:
        """Whether a browser may be sent there."""
        try:
            own, there = urlsplit(self.issuer), urlsplit(url)
        except ValueError:
            return False
        safe = there.scheme in ("https", own.scheme) and "@" not in there.netloc
        return safe and bool(there.hostname) and not there.fragment

    async def redeem(self, code: str, verifier: str, back: str) -> str:
        """The identity token for a code that was sent to `back`. Raises `IdentityRefused` for a code that the
        provider does not take."""
        known = await self._known()
        fields = {
            "grant_type": "authorization_code", "code": code, "redirect_uri": back, "code_verifier": verifier,
            "client_id": self._client,
        }  # fmt: skip
        headers = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}
        if self._secret and "client_secret_basic" in known.metadata.token_endpoint_auth_methods_supported:
            pair = f"{quote(self._client, safe='')}:{quote(self._secret, safe='')}"  # RFC 6749, 2.3.1
            headers["authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        elif self._secret:
            fields["client_secret"] = self._secret
        url = known.metadata.token_endpoint
        answer = await self._post(url, headers, urlencode(fields).encode())
        if answer.status in (400, 401):
            raise IdentityRefused(f"the provider does not take this sign-in's code ({_fault(answer.body)})")
        try:
            return msgspec.json.decode(whole(answer, self.issuer, url), type=_Tokens).id_token
        except msgspec.MsgspecError:
            raise IssuerUnavailable(f"{self.issuer} gave no identity token") from None

    async def _known(self) -> Known:
        if not self.issuer:
            raise IssuerUnavailable("ORCHARD_OIDC_ISSUER is not set for this fetcher")
        return await self._issuers.known(self.issuer)

    async def _post(self, url: str, headers: dict[str, str], body: bytes) -> FetchedBody:
        source = self._issuers.source_of(self.issuer)
        try:
            async with (
                asyncio.timeout(TIMEOUT_SECONDS),
                self._http.stream(
                    source, url, method="POST", headers=headers, content=body, lane="index"
                ) as response,
            ):
                pieces = bytearray()
                async for piece in response.chunks():
                    pieces += piece
                    if len(pieces) > MAX_BYTES:
                        raise TooLarge(f"{self.issuer} sent more than {MAX_BYTES} bytes")
                return FetchedBody(response.status, response.headers, response.url, bytes(pieces))
        except TimeoutError:
            raise IssuerUnavailable(f"{self.issuer} took longer than {TIMEOUT_SECONDS:.0f} s") from None


def _fault(body: bytes) -> str:
    try:
        told = msgspec.json.decode(body, type=_Fault).error
    except msgspec.MsgspecError:
        told = ""
    return told if _WORD.fullmatch(told) else "it says not why"
