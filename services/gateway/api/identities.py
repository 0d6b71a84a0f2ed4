"""Identity tokens at a gateway: a fetcher checks one, rules say what its bearer may do, a grant lets it.

A gateway has neither egress nor keys of issuers. It asks only about issuers that an operator has named.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import secrets
import time
from collections.abc import Iterator
from math import ceil
from typing import Any

import msgspec

from services.gateway.api.admin.fetcher_desk import FetcherDesk
from services.gateway.door.access import Guesses
from services.gateway.door.grants import Grants
from shared.access.bounds import Bounds
from shared.access.repository import KnownToken
from shared.access.tokens import new_short_token
from shared.access.trust import (
    LONGEST_TOKEN,
    CodeAsked,
    IdentityAsked,
    TrustRule,
    own_rules,
    people_of,
    scope_of,
    who,
)
from shared.access.watcher import AccessWatcher
from shared.errors import ErrorValue, IdentityRefused, TooManyGuesses
from shared.errors.catalogue import from_value
from shared.errors.passing import AccessUnknown, IssuerUnavailable, UpstreamUnavailable
from shared.settings import Settings
from shared.telemetry.logs import get_logger

log = get_logger()

GRANT_SECONDS = 900
SESSION_SECONDS = 12 * 3600
_NAMES = ("email", "preferred_username", "sub")
_UNPROVED = "docs/access.md says what a rule wants; for operators `orchard trust list` shows those there are."


class Exchanged(msgspec.Struct, frozen=True):
    """A token that an identity token was exchanged for."""

    token: str
    known: KnownToken

    def __repr__(self) -> str:
        return f"Exchanged({self.known.name!r})"


class Identities:
    """Every method raises `IssuerUnavailable` where nobody can check, and `QueueUnavailable`."""

    def __init__(self, settings: Settings, desk: FetcherDesk, watcher: AccessWatcher, grants: Grants) -> None:
        self._settings = settings
        self._desk = desk
        self._watcher = watcher
        self._grants = grants
        self._own = own_rules(settings)
        self._guesses = Guesses(settings.wrong_tokens)

    async def exchange(self, token: str, client: str) -> Exchanged:
        """A token to read with, for a CI's identity token that came from the address `client`. Raises
        `IdentityRefused`, `TooManyGuesses`."""
        rule, claims = await self._rule_for(token, client)
        made, now = new_short_token(), time.time()
        name = who(rule.name, claims)
        bounds = rule.bounds(now + GRANT_SECONDS)
        known = await self._grants.make(rule.id, made.encode(), name, "read", bounds, now)
        log.info("token_exchanged", rule=rule.name, name=name, jti=str(claims.get("jti", ""))[:100])
        return Exchanged(made, known)

    @contextlib.contextmanager
    def _guessed(self, client: str) -> Iterator[None]:
        """What is refused in this block counts against an address, and too much of it ends its attempts."""
        if wait := self._guesses.wait_seconds(client):
            why = "too many refused proofs of identity from this address"
            raise TooManyGuesses(why, retry_after_seconds=ceil(wait))
        try:
            yield
        except IdentityRefused:
            self._guesses.note(client)
            raise

    async def _rule_for(self, token: str, client: str) -> tuple[TrustRule, dict[str, Any]]:
        """What its issuer did sign proves who it is, and is no guess: jobs that no rule is about do not shut
        out those that share their address."""
        with self._guessed(client):
            rules, claims = await self._proved(token)
        failing = {each.name: each.failing(claims) for each in rules}
        rule = next((each for each in rules if not failing[each.name]), None)
        if rule is None and self._watcher.state is None:
            raise _untold()
        if rule is None:
            told = "; ".join(f"{name}: {claim}" for name, claim in list(failing.items())[:5])
            why = f"no rule is about the bearer of this identity token ({told})"
            raise IdentityRefused(why, hint=_UNPROVED)
        return rule, claims

    async def _proved(self, token: str) -> tuple[list[TrustRule], dict[str, Any]]:
        """The claims of a token that is its issuer's, and the rules that trust this one."""
        issuer = _issuer_in(token)
        state = self._watcher.state
        known = (*self._own, *(state.trust if state is not None else ()))
        rules = [each for each in known if each.issuer == issuer]
        if not rules and state is None:
            raise _untold()
        if not rules:
            raise IdentityRefused("no rule trusts the issuer of this identity token (iss)", hint=_UNPROVED)
        audiences = tuple({each.audience: None for each in rules})
        keys = next((each.keys for each in rules if each.keys), "")  # in common (api/admin/trust.py)
        asked = IdentityAsked(issuer, token, audiences, keys=keys)
        return rules, await self._asked("/identity/check", asked)

    async def door(self) -> str:
        """Where people sign in at the provider."""
        return str(await self._asked("/identity/door", {}))

    async def exit(self) -> str:
        """Where people sign out at the provider; "" where it offers that nowhere."""
        return str(await self._asked("/identity/exit", {}))

    async def person(self, asked: CodeAsked, client: str) -> KnownToken:
        """What the person of a code may do, which came from the address `client`. Raises `IdentityRefused`,
        `TooManyGuesses`."""
        with self._guessed(client):
            claims = await self._asked("/identity/redeem", asked, tries=1)  # a code works once
        scope = scope_of(claims, self._settings)
        if not scope:
            why = f"{who('oidc', claims, _NAMES)} is not among those who may read here"
            raise IdentityRefused(
                why, hint="Operators let people in by ORCHARD_OIDC_READ, ORCHARD_OIDC_ADMIN."
            )
        now = time.time()
        name = who("oidc", claims, _NAMES)
        bounds = Bounds(expires_at=now + SESSION_SECONDS)
        trust = people_of(self._settings)
        known = await self._grants.make(trust, secrets.token_bytes(32), name, scope, bounds, now)
        log.info("signed_in", name=name, scope=scope)
        return known

    async def _asked(self, path: str, question: Any, tries: int = 2) -> Any:
        try:
            status, answer = await self._desk.ask(path, msgspec.json.encode(question), tries)
        except UpstreamUnavailable as error:
            raise IssuerUnavailable(error.message) from None
        if status == 200:
            return msgspec.json.decode(answer)
        try:
            told = from_value(msgspec.json.decode(answer, type=ErrorValue))
        except msgspec.MsgspecError:
            why = "the fetcher cannot check identity tokens: is it an older one?"
            raise IssuerUnavailable(why) from None
        raise told if isinstance(told, IdentityRefused) else IssuerUnavailable(told.message)


def _untold() -> AccessUnknown:
    return AccessUnknown("whom to trust cannot be told yet")


def _issuer_in(token: str) -> str:
    """The issuer that an unchecked token names. Raises `IdentityRefused`."""
    if len(token) > LONGEST_TOKEN:
        raise IdentityRefused(f"the identity token has more than {LONGEST_TOKEN} bytes")
    parts = token.split(".")
    try:
        payload = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)) if len(parts) == 3 else b""
        return msgspec.json.decode(payload, type=_Payload).iss
    except (msgspec.MsgspecError, binascii.Error, ValueError, RecursionError):
        raise IdentityRefused("what was sent is no identity token (JWT)") from None


class _Payload(msgspec.Struct, frozen=True):
    iss: str
