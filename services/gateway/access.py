"""Who may read and who may administer: one boolean, or one dictionary look-up, per request.

With anonymous reading a request costs a boolean. With tokens, an Authorization header that was found
good is remembered as it came, and forgotten with every change of tokens; any other is hashed once.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from math import ceil

from services.gateway.guesses import Guesses
from shared.access import AccessRepository, AccessState, KnownToken, by_digest
from shared.errors import AccessUnknown, Forbidden, OrchardError, TooManyGuesses, Unauthorized
from shared.exposure import reads_anonymously
from shared.logs import get_logger
from shared.settings import Settings
from shared.tokens import PREFIX, digest_of, presented

log = get_logger()

REMEMBERED = 4096  # headers; then all are forgotten
LONGEST_REMEMBERED = 512  # bytes of one: clients choose user name and spelling
TOUCH_SECONDS = 60.0
OPERATOR = "ORCHARD_ADMIN_TOKEN"  # as the audit names who used that one

OPEN_PATHS = frozenset(
    (b"/", b"/health", b"/health/live", b"/health/ready", b"/health/identity", b"/metrics")
)
"""What probes, Prometheus and a person without a token need. None of it tells of packages."""


class Access:
    """Of one gateway. `anonymous`: reading needs no token."""

    def __init__(self, settings: Settings, repository: AccessRepository) -> None:
        self.anonymous = reads_anonymously(settings)
        self._own: dict[bytes, KnownToken] = {}
        if settings.admin_token:
            digest = digest_of(settings.admin_token.encode())
            self._own[digest] = KnownToken(0, OPERATOR, "admin", digest.hex())
        self._tokens: Mapping[bytes, KnownToken] = self._own
        self._known = False
        self._remembered: dict[bytes, KnownToken] = {}
        self._used: set[int] = set()
        self._guesses = Guesses(settings.wrong_tokens)
        self._proven: set[bytes] = set()  # digests of tokens that were good here, over all changes
        self._repository = repository
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Start writing down when tokens were used."""
        self._task = asyncio.create_task(self._note_use(), name="token use")

    async def aclose(self) -> None:
        """Write down the rest, if the database answers."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._touch()

    def changed(self, state: AccessState) -> None:
        """Take over other tokens: for `AccessWatcher`."""
        self._tokens = {**by_digest(state), **self._own}
        self._known = True
        self._remembered.clear()

    def grant(self, authorization: bytes | None, client: str = "") -> KnownToken:
        """The token of a request from the address `client`.

        Raises `Unauthorized` without a good one, `AccessUnknown`, `TooManyGuesses`.
        """
        if authorization is None:
            raise Unauthorized("this needs a token")
        token = self._remembered.get(authorization)
        if token is None:
            token = self._find(authorization, client)
        if token.id:
            self._used.add(token.id)
        return token

    def _find(self, authorization: bytes, client: str) -> KnownToken:
        given = presented(authorization)
        digest = digest_of(given) if given is not None else b""
        # What Orchard made nobody guesses, and who uses a good token already must not suffer from a
        # neighbour who guesses: these are looked for all the same.
        if given is not None and not given.startswith(PREFIX.encode()) and digest not in self._proven:
            self._check_guesses(client)
        token = self._tokens.get(digest)
        if token is None:
            if given is not None and not self._known:
                raise AccessUnknown("this token cannot be checked yet")
            self._guesses.note(client)
            self._check_guesses(client)
            raise Unauthorized("this is no token that is known here")
        if len(self._proven) >= REMEMBERED:
            self._proven.clear()
        self._proven.add(digest)
        if len(authorization) <= LONGEST_REMEMBERED:
            if len(self._remembered) >= REMEMBERED:
                self._remembered.clear()
            self._remembered[authorization] = token
        return token

    def name_of(self, authorization: bytes) -> str:
        """Of a good token; "" for any other header."""
        try:
            return self.grant(authorization).name
        except OrchardError:
            return ""

    def _check_guesses(self, client: str) -> None:
        wait = self._guesses.wait_seconds(client)
        if wait:
            raise TooManyGuesses("too many wrong tokens from this address", retry_after_seconds=ceil(wait))

    def check_read(self, authorization: bytes | None, client: str = "") -> None:
        """Raises as `grant` unless the request may read."""
        if not self.anonymous:
            self.grant(authorization, client)

    def administrator(self, authorization: bytes | None, client: str = "") -> KnownToken:
        """The admin token of a request. Raises `Forbidden` for one that may only read, and as `grant`."""
        token = self.grant(authorization, client)
        if token.scope != "admin":
            raise Forbidden(f"the token {token.name} may read only")
        return token

    # --- when tokens were used ----------------------------------------------------------------------

    async def _note_use(self) -> None:
        while True:
            await asyncio.sleep(TOUCH_SECONDS)
            await self._touch()

    async def _touch(self) -> None:
        used, self._used = self._used, set()
        if not used:
            return
        with contextlib.suppress(OrchardError):  # coarse anyway: what is lost comes with the next use
            await self._repository.touch(sorted(used))
