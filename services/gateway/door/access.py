"""Authentication: the client of a request, and whether it may read or administer, by one boolean or one
dictionary look-up.

With anonymous reading a request costs a boolean. With tokens, an Authorization header that was valid is
cached as it came, until tokens change; any other is hashed once.

Wrong tokens are counted per address: whoever guesses has to wait. What cannot be guessed is
looked for all the same, so a guesser locks out few of its neighbours.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from math import ceil
from typing import Any

import msgspec

from services.gateway.http.addresses import address_of, network_of
from services.gateway.http.requests import Headers, Target
from shared.access.bounds import Bounds, bounded_digest
from shared.access.exposure import reads_anonymously
from shared.access.repository import AccessRepository, AccessState, KnownToken, by_digest
from shared.access.tokens import PREFIX, SHORT_PREFIX, digest_of, presented
from shared.access.trust import own_rules, people_of
from shared.errors import Forbidden, OrchardError, TooManyGuesses, Unauthorized
from shared.errors.passing import AccessUnknown
from shared.process.bounded import Bounded
from shared.process.periodic import Every
from shared.protocols.resource import Redirect
from shared.settings import Settings
from shared.telemetry.logs import get_logger

GUESS_SECONDS = 60.0
GUESSING_ADDRESSES = 10_000  # remembered


class Guesses:
    """The counts of one gateway process."""

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        """`most` wrong ones in a window, from one address; then its end is waited for. 0: no bound."""
        self._most = most
        self._clock = clock
        # address → when its window began, wrong ones in it
        self._wrong = Bounded[str, tuple[float, int]](GUESSING_ADDRESSES)

    def wait_seconds(self, address: str) -> float:
        """How long further tokens from this address are refused unseen; 0: not at all."""
        began, wrong = self._wrong.get(network_of(address)) or (0.0, 0)
        left = began + GUESS_SECONDS - self._clock()
        return left if 0 < self._most <= wrong and left > 0 else 0.0

    def note(self, address: str) -> None:
        """This address sent a wrong token; "" (nobody's) is not counted."""
        if not address:
            return
        address, now = network_of(address), self._clock()
        began, wrong = self._wrong.get(address) or (now, 0)
        if now - began >= GUESS_SECONDS:
            began, wrong = now, 0
        self._wrong.put(address, (began, wrong + 1))


log = get_logger()

REMEMBERED = 4096  # headers
LONGEST_REMEMBERED = 512  # bytes of one: clients choose user name and spelling
TOUCH_SECONDS = 60.0
ANEW = "Exchange another: `orchard tokens exchange`, or sign in again."
OPERATOR = "ORCHARD_ADMIN_TOKEN"  # as the audit names who used that one

PROBED_PATHS = frozenset((b"/health", b"/health/live", b"/health/ready", b"/health/identity", b"/metrics"))
SIGN_IN = frozenset((b"/ui/signin", b"/ui/signin-elsewhere", b"/ui/signed-in", b"/ui/signed-out"))
FOR_PEOPLE = frozenset((b"/", b"/orchard.pyz", b"/ui")) | SIGN_IN
EXCHANGE = b"/api/v1/tokens/exchange"
OPEN_PATHS = PROBED_PATHS | FOR_PEOPLE | {EXCHANGE}
"""What probes, Prometheus and a person without a token need. None of it tells of packages."""


class Access:
    """The tokens that one gateway accepts. `anonymous`: reading needs no token."""

    def __init__(self, settings: Settings, repository: AccessRepository) -> None:
        self.anonymous = reads_anonymously(settings)
        self._own: dict[bytes, KnownToken] = {}
        if settings.admin_token:
            digest = digest_of(settings.admin_token.encode())
            self._own[digest] = KnownToken(0, OPERATOR, "admin", digest.hex())
        self._tokens: Mapping[bytes, KnownToken] = self._own
        self._always = {people_of(settings), *(each.id for each in own_rules(settings))}
        self._trusted = frozenset(self._always)
        # digest → a grant (services/gateway/door/grants.py) and what it was given by
        self._grants = Bounded[bytes, tuple[KnownToken, str]](REMEMBERED)
        self.grants_unknown = False  # the queue Redis did not answer when it was last asked for one
        self._known = False
        self._remembered = Bounded[bytes, KnownToken](REMEMBERED)
        self._used: set[int] = set()
        self._guesses = Guesses(settings.wrong_tokens)
        # Digests of tokens that were valid here, over all changes.
        self._proven = Bounded[bytes, bool](REMEMBERED)
        self._repository = repository
        self._touches = Every(TOUCH_SECONDS, self._touch, name="token use")

    async def open(self) -> None:
        """Start recording when tokens were used."""
        await self._touches.open()

    async def aclose(self) -> None:
        """Record the rest, if the database answers."""
        await self._touches.aclose()
        await self._touch()

    def changed(self, state: AccessState) -> None:
        """Replace the tokens: called by `AccessWatcher`."""
        self._tokens = {**by_digest(state), **self._own}
        self._trusted = frozenset({*self._always, *(each.id for each in state.trust)})
        self._known = True
        self._remembered.clear()

    def has_seen(self, authorization: bytes) -> bool:
        """Whether this header was good, as it is."""
        return self._remembered.get(authorization) is not None

    def has_learnt(self, digest: bytes) -> bool:
        """Whether `learn` was called for this token, and it is still known."""
        return self._grants.get(digest) is not None

    def learn(self, digest: bytes, token: KnownToken, trust: str) -> None:
        """Accept a token that is in no list while what it was given by is trusted."""
        self._grants.put(digest, (token, trust))

    def _by_digest(self, digest: bytes) -> KnownToken | None:
        known = self._tokens.get(digest) or self._tokens.get(bounded_digest(digest))
        if known is None:
            token, trust = self._grants.get(digest) or (None, "")
            known = token if trust in self._trusted else None
        return known

    def grant(self, authorization: bytes | None, client: str = "") -> KnownToken:
        """The token of a request from the address `client`. Raises `Unauthorized` without a valid one,
        `Forbidden` where it is not good from there, `AccessUnknown`, `TooManyGuesses`.
        """
        if authorization is None:
            raise Unauthorized("this needs a token")
        token = self._known_by(authorization, client)
        if token.bounds is not None:
            token.bounds.check_when_and_where(client, time.time())
        if token.id:
            self._used.add(token.id)
        return token

    def grant_all(self, authorization: bytes | None, client: str = "") -> KnownToken:
        """As `grant`, for what is of no package or of many. Raises `Forbidden` for a token that is good for
        some packages alone."""
        token = self.grant(authorization, client)
        if token.bounds is not None and token.bounds.of_packages:
            raise Forbidden("this token is for installing some packages, and for nothing else")
        return token

    def _known_by(self, authorization: bytes, client: str) -> KnownToken:
        token = self._remembered.get(authorization)
        return self._find(authorization, client) if token is None else token

    def _find(self, authorization: bytes, client: str) -> KnownToken:
        given = presented(authorization)
        digest = digest_of(given) if given is not None else b""
        # Tokens that Orchard generated cannot be guessed, and a token that was valid here must not suffer
        # from a neighbour who guesses: these are looked up all the same.
        if given is not None and not given.startswith(PREFIX.encode()) and digest not in self._proven:
            self._check_guesses(client)
        token = self._by_digest(digest)
        if token is None:
            is_short = given is not None and given.startswith(SHORT_PREFIX.encode())
            if given is not None and (not self._known or (is_short and self.grants_unknown)):
                raise AccessUnknown("this token cannot be checked yet")
            if is_short:  # nobody guesses one: it was good some minutes ago
                raise Unauthorized("this token is over, or its trust rule is gone", hint=ANEW)
            self._guesses.note(client)
            self._check_guesses(client)
            raise Unauthorized("this is no token that is known here")
        self._proven.put(digest, True)
        if len(authorization) <= LONGEST_REMEMBERED:
            self._remembered.put(authorization, token)
        return token

    def name_of(self, authorization: bytes) -> str:
        """The name of a token that is known, whatever it is good for; "" for any other header."""
        try:
            return self._known_by(authorization, "").name
        except OrchardError:
            return ""

    def _check_guesses(self, client: str) -> None:
        wait = self._guesses.wait_seconds(client)
        if wait:
            raise TooManyGuesses("too many wrong tokens from this address", retry_after_seconds=ceil(wait))

    def check_read(self, authorization: bytes | None, client: str = "", *, one_package: bool = False) -> None:
        """Raises as `grant_all` unless the request may read; as `grant` for one package, which is still to be
        looked at (`bounds_of`)."""
        if not self.anonymous:
            (self.grant if one_package else self.grant_all)(authorization, client)

    def bounds_of(self, authorization: bytes | None) -> Bounds | None:
        """What `check_package` is to be asked of a package that is read with a token that was granted; None:
        nothing."""
        if authorization is None or self.anonymous:
            return None
        bounds = self._known_by(authorization, "").bounds
        return bounds if bounds is not None and bounds.of_packages else None

    def administrator(self, authorization: bytes | None, client: str = "") -> KnownToken:
        """The admin token of a request. Raises `Forbidden` for one that may only read, and as `grant`."""
        try:
            token = self.grant_all(authorization, client)
        except Unauthorized as error:
            raise Unauthorized(error.message, hint=f"This is for operators. {Forbidden.hint}") from None
        return operator(token)

    def by_digest(self, digest: str, client: str) -> KnownToken | None:
        """The token with this digest (hex), as it is now; None: it is none any more, or not good from the
        address `client`."""
        token = self._by_digest(bytes.fromhex(digest))
        if token is not None and token.bounds is not None:
            try:
                token.bounds.check_when_and_where(client, time.time())
            except OrchardError:
                return None
        return token

    # --- when tokens were used ----------------------------------------------------------------------

    async def _touch(self) -> None:
        used, self._used = self._used, set()
        if not used:
            return
        with contextlib.suppress(OrchardError):  # coarse anyway: what is lost comes with the next use
            await self._repository.touch(sorted(used))


def operator(token: KnownToken) -> KnownToken:
    """The same token. Raises `Forbidden` for one that may only read."""
    if token.scope != "admin":
        raise Forbidden(f"the token {token.name} has the scope read, and this needs the scope admin")
    return token


def client_of(access: Access, scope: Any, headers: Headers) -> str:
    """The name of a valid token, or the address given by a trusted proxy or the connection. Not for hits: a
    header that is not cached is hashed.
    """
    authorization = headers.get(b"authorization")
    if authorization is not None:
        name = access.name_of(authorization)
        if name:
            return f"token {name}"
    return network_of(address_of(scope))


def check_package(bounds: Bounds, target: Target) -> None:
    """Raises `Forbidden` for a request of a package that a token with these bounds is not for. What is of no
    source, such as a registry's own description, is for all who may read its protocol."""
    resource, names = target.resource, target.protocol.names
    if isinstance(resource, Redirect) or resource.kind == "own":
        bounds = msgspec.structs.replace(bounds, names=())
        bounds.check_package(target.protocol.name, names.meant_patterns, "")
    else:
        bounds.check_package(target.protocol.name, names.meant_patterns, resource.project)
