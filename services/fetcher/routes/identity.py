"""Routes for gateways, which have no egress: check an identity token, ask the provider that signs people in.

Only gateways may ask: they know the token from this process's heartbeat (shared/worker/tokens.py).
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Awaitable, Callable
from types import ModuleType
from typing import Any, TypeVar

import msgspec
from aiohttp import web

from services.fetcher.identity.issuers import Issuers
from services.fetcher.identity.keys import key_for, read_keys
from services.fetcher.identity.provider import Provider
from shared.access.trust import CodeAsked, IdentityAsked
from shared.errors import IdentityRefused, OrchardError
from shared.process.threads import BoundedThreads
from shared.telemetry.logs import get_logger

log = get_logger()

T = TypeVar("T")


class IdentityRoutes:
    """The routes, opened by the token of this process's heartbeat. 200 with JSON; 403 for strangers; 503 with
    an `ErrorValue` of what was refused, or could not be asked."""

    def __init__(self, issuers: Issuers, provider: Provider, threads: BoundedThreads, *, token: str) -> None:
        self._issuers = issuers
        self._provider = provider
        self._threads = threads
        self._token = token

    @property
    def routes(self) -> list[web.RouteDef]:
        """For `WorkerHttp`."""
        return [
            web.post("/identity/check", self.check),
            web.post("/identity/door", self.door),
            web.post("/identity/exit", self.exit),
            web.post("/identity/redeem", self.redeem),
        ]

    async def check(self, request: web.Request) -> web.Response:
        """The claims of the token in an `IdentityAsked`."""
        return await self._answer(request, IdentityAsked, self._claims)

    async def door(self, request: web.Request) -> web.Response:
        """Where people sign in."""

        async def door(_: dict[str, Any]) -> str:
            return await self._provider.door()

        return await self._answer(request, dict[str, Any], door)

    async def exit(self, request: web.Request) -> web.Response:
        """Where people sign out."""

        async def exit(_: dict[str, Any]) -> str:
            return await self._provider.exit()

        return await self._answer(request, dict[str, Any], exit)

    async def redeem(self, request: web.Request) -> web.Response:
        """The claims of the person of a `CodeAsked`."""

        async def redeem(asked: CodeAsked) -> dict[str, Any]:
            token = await self._provider.redeem(asked.code, asked.verifier, asked.back)
            issuer = self._provider.issuer
            return await self._claims(IdentityAsked(issuer, token, (asked.client,), nonce=asked.nonce))

        return await self._answer(request, CodeAsked, redeem)

    async def _claims(self, asked: IdentityAsked) -> dict[str, Any]:
        verify = await self._threads.run(_loaded)
        head = verify.read_head(asked.token)
        if asked.keys:
            try:
                key = key_for(head, read_keys(asked.keys))
            except ValueError:
                key = None
            if key is None:
                raise IdentityRefused("the identity token is signed by none of the keys of its rule (kid)")
        else:
            key = await self._issuers.key(asked.issuer, head)
        try:
            return await self._threads.run(verify.claims_of, asked, head, key, time.time())
        except IdentityRefused:
            newer = None if asked.keys else await self._issuers.newer_key(asked.issuer, head, key)
            if newer is None:
                raise
        return await self._threads.run(verify.claims_of, asked, head, newer, time.time())

    async def _answer(
        self, request: web.Request, kind: type[T], answer: Callable[[T], Awaitable[Any]]
    ) -> web.Response:
        given = request.headers.get("x-orchard-token", "")
        if not hmac.compare_digest(given.encode("utf-8", "replace"), self._token.encode()):
            return web.Response(status=403)
        try:
            told = msgspec.json.encode(await answer(msgspec.json.decode(await request.read(), type=kind)))
        except msgspec.MsgspecError:
            return web.Response(status=400)
        except UnicodeEncodeError:  # half a character in a claim
            refused = IdentityRefused("a claim of the identity token is no text")
            return web.Response(status=503, body=msgspec.json.encode(refused.to_value()))
        except OrchardError as error:
            log.info("identity_not_proved", error=error.code, message=error.message)
            body = msgspec.json.encode(error.to_value())
            return web.Response(status=503, body=body, content_type="application/json")
        return web.Response(body=told, content_type="application/json")


def _loaded() -> ModuleType:
    from services.fetcher.identity import verify

    return verify
