"""Issuers of identity tokens: what they say of themselves, and their keys, asked as seldom as can be.

Found by discovery (OpenID Connect Discovery 1.0, section 4), kept in memory, and in the queue Redis for
fetchers that start. A token of an unknown key has the keys asked again, at a bounded rate; while the issuer
is away the last good ones go on for a day.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable
from typing import Any

import msgspec

from services.fetcher.http.manager import HttpClientManager
from services.fetcher.http.response import FetchedBody, decode_body
from services.fetcher.identity.keys import Head, key_for, read_keys
from shared.errors import IdentityRefused, OrchardError
from shared.errors.passing import IssuerUnavailable
from shared.models import FORMAT, UpstreamSource
from shared.process.bounded import Bounded
from shared.protocols import PROTOCOLS
from shared.redis.client import RedisClient
from shared.telemetry.logs import get_logger

log = get_logger()

FRESH_SECONDS = 600.0
LAST_GOOD_SECONDS = 24 * 3600.0
AGAIN_SECONDS = 10.0  # between two attempts at one issuer, by one fetcher
TIMEOUT_SECONDS = 4.0  # of each document
MAX_BYTES = 256 * 1024
MOST_ISSUERS = 256
KEY_PREFIX = "orchard:issuer:"


class Metadata(msgspec.Struct, frozen=True):
    """What is used of an issuer's configuration."""

    issuer: str
    jwks_uri: str
    authorization_endpoint: str = ""
    token_endpoint: str = ""
    end_session_endpoint: str = ""  # OpenID Connect RP-Initiated Logout 1.0, section 2.1
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)


class Known(msgspec.Struct, frozen=True):
    """An issuer as it was last told."""

    format: int
    at: float  # unix seconds
    metadata: Metadata
    keys: list[dict[str, Any]]


class Issuers:
    """Those that were asked about. Gateways ask only about such as an operator has named."""

    def __init__(
        self, http: HttpClientManager, redis: RedisClient, clock: Callable[[], float] = time.time
    ) -> None:
        self._http = http
        self._redis = redis
        self._clock = clock
        self._known = Bounded[str, Known](MOST_ISSUERS)
        self._tried = Bounded[str, float](MOST_ISSUERS)
        self._locks = Bounded[str, asyncio.Lock](MOST_ISSUERS)
        self._numbers: dict[str, int] = {}

    async def key(self, issuer: str, head: Head) -> dict[str, Any]:
        """The key that a token of the issuer names. Raises `IdentityRefused` where the issuer has none,
        `IssuerUnavailable` where it cannot be asked."""
        known = await self.known(issuer)
        found = key_for(head, known.keys)
        if found is None:  # it may have a new key
            if not self._may_try(issuer):
                raise IssuerUnavailable(
                    "the identity token is signed by a key that its issuer did not publish some seconds ago",
                    retry_after_seconds=int(AGAIN_SECONDS),
                )
            try:
                found = key_for(head, (await self._refreshed(issuer, known)).keys)
            except OrchardError as error:
                raise _away(error) from None
        if found is None:
            raise IdentityRefused(
                "the identity token is signed by a key that its issuer does not publish (kid)"
            )
        return found

    async def newer_key(self, issuer: str, head: Head, key: dict[str, Any]) -> dict[str, Any] | None:
        """Another key than the one that did not fit, of an issuer whose tokens name none; None: there is
        none, or the issuer was asked some seconds ago, or is away."""
        if head.kid is not None or not self._may_try(issuer):
            return None
        try:
            found = key_for(head, (await self._refreshed(issuer, self._known.get(issuer))).keys)
        except OrchardError:
            return None
        return found if found != key else None

    async def known(self, issuer: str) -> Known:
        """What is known of the issuer, a day old at most. Raises `IssuerUnavailable`."""
        known = self._known.get(issuer) or await self._copy(issuer)
        age = self._clock() - known.at if known is not None else LAST_GOOD_SECONDS
        if known is not None and 0 <= age < FRESH_SECONDS:
            return known
        usable = known is not None and age < LAST_GOOD_SECONDS
        if usable and not self._may_try(issuer):
            assert known is not None
            return known
        try:
            return await self._refreshed(issuer, known)
        except OrchardError as error:
            log.warning("issuer_not_asked", issuer=issuer, error=error.code, message=error.message)
            if not usable:
                raise _away(error) from None
            assert known is not None
            return known

    def source_of(self, issuer: str, url: str = "") -> UpstreamSource:
        """For requests on behalf of an issuer: the egress rules of a source."""
        number = self._numbers.setdefault(issuer, -1000 - len(self._numbers))
        return UpstreamSource(id=number, protocol=PROTOCOLS[0].name, name="issuer", url=url or issuer)

    def _may_try(self, issuer: str) -> bool:
        return not 0 <= self._clock() - (self._tried.get(issuer) or 0.0) < AGAIN_SECONDS  # the clock may jump

    async def _refreshed(self, issuer: str, before: Known | None) -> Known:
        """Asked anew, by one at a time: who waited takes what came meanwhile."""
        lock = self._locks.get(issuer)
        if lock is None:
            lock = asyncio.Lock()
            self._locks.put(issuer, lock)
        async with lock:
            now = self._known.get(issuer)
            if now is not None and now is not before:
                return now
            if not self._may_try(issuer):
                raise IssuerUnavailable(
                    f"{issuer} was asked some seconds ago, and did not answer as it should"
                )
            self._tried.put(issuer, self._clock())
            metadata = _metadata(issuer, await self._get(issuer, _configuration(issuer)))
            body = await self._get(issuer, metadata.jwks_uri)
            try:
                keys = read_keys(body)
            except (ValueError, RecursionError):
                raise IssuerUnavailable(f"the keys of {issuer} are no JWKS") from None
            known = Known(FORMAT, self._clock(), metadata, keys)
            self._known.put(issuer, known)
            await self._keep(issuer, known)
            return known

    async def _get(self, issuer: str, url: str) -> bytes:
        answer = await self._http.fetch(
            self.source_of(issuer), url, headers={"accept": "application/json"},
            max_bytes=MAX_BYTES, deadline_seconds=TIMEOUT_SECONDS,
        )  # fmt: skip
        return whole(answer, issuer, url)

    async def _copy(self, issuer: str) -> Known | None:
        try:
            raw = await self._redis.command("GET", _key(issuer))
            known = None if raw is None else msgspec.msgpack.decode(raw, type=Known)
        except (OrchardError, msgspec.MsgspecError):
            return None
        if known is None or known.format != FORMAT or known.metadata.issuer != issuer:
            return None
        self._known.put(issuer, known)
        return known

    async def _keep(self, issuer: str, known: Known) -> None:
        value = msgspec.msgpack.encode(known)
        try:
            await self._redis.command("SET", _key(issuer), value, "EX", int(LAST_GOOD_SECONDS))
        except OrchardError as error:
            log.warning("issuer_not_kept", issuer=issuer, code=error.code)


def whole(answer: FetchedBody, issuer: str, url: str) -> bytes:
    """The decoded body of a 200 from the very address. Raises `IssuerUnavailable`."""
    if answer.url != url:
        raise IssuerUnavailable(f"{issuer} redirects, which a provider may not")
    if answer.status != 200:
        raise IssuerUnavailable(f"{issuer} answered with status {answer.status}")
    return decode_body(answer.body, answer.headers.get("content-encoding", ""), max_bytes=MAX_BYTES)


def _configuration(issuer: str) -> str:
    return issuer.rstrip("/") + "/.well-known/openid-configuration"


def _metadata(issuer: str, body: bytes) -> Metadata:
    try:
        found = msgspec.json.decode(body, type=Metadata)
    except (msgspec.MsgspecError, RecursionError):
        raise IssuerUnavailable(f"{issuer} describes itself by no OpenID configuration") from None
    if found.issuer != issuer:
        raise IssuerUnavailable(f"{issuer} says that it is another issuer")
    return found


def _away(error: OrchardError) -> IssuerUnavailable:
    return error if isinstance(error, IssuerUnavailable) else IssuerUnavailable(error.message)


def _key(issuer: str) -> str:
    return KEY_PREFIX + hashlib.sha256(issuer.encode()).hexdigest()
