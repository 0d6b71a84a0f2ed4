"""`AccessWatcher`: a change of tokens or policy reaches this process within a second.

The state is copied into the queue Redis, where a process that starts without a database reads it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from shared.access.feeds import FeedWatcher
from shared.access.repository import CHANNEL, AccessRepository, AccessState, keep_copy, read_copy
from shared.errors import OrchardError
from shared.http.via import name_of
from shared.policy.advisories import Advisories
from shared.policy.policy import NO_RULES, Policy, any_protocol, as_it_is, no_order
from shared.policy.rules import Rules
from shared.postgres.database import Database
from shared.postgres.watcher import RowWatcher
from shared.redis import clock
from shared.redis.client import RedisClient
from shared.telemetry.logs import get_logger

log = get_logger()

LONGEST_LOOK_SECONDS = 5.0
SHORTEST_LOOK_SECONDS = 0.05
FIRST_SECONDS = 2.5  # a start waits so long for the first state, then goes on without


class AccessWatcher:
    """The newest known state. The caller opens and closes it."""

    def __init__(
        self,
        database: Database,
        queue_redis: RedisClient,
        on_change: Callable[[AccessState | None], None] | None = None,
        *,
        named: Callable[[str, str], str] = as_it_is,
        order: Callable[[str, str], Any] = no_order,
        attests: Callable[[str], bool] = any_protocol,
        own_rules: Rules = NO_RULES,
    ) -> None:
        """`on_change` is called in the event loop with the first state, every newer one, and whenever an
        exemption is over or advisories change (with None where they are known before any state). `named`,
        `order`, `attests`: as `Policy` takes them. `own_rules`: of this process's environment, which count
        where nobody has written any, or nothing is known."""
        self._repository = AccessRepository(database)
        self._redis = queue_redis
        self._on_change = on_change
        self._rows = RowWatcher(database, CHANNEL, self._read)
        self._first = asyncio.Event()
        self.state: AccessState | None = None
        self._named = named
        self._order = order
        self._attests = attests
        self.own_rules = own_rules
        self.feeds = FeedWatcher(queue_redis, self._advised)
        self.policy = Policy((), own_rules, named=named, attests=attests)
        self._expiry: asyncio.TimerHandle | None = None

    @property
    def own_name(self) -> str:
        """This installation's name in Via (shared/http/via.py); "" while it is not known."""
        return "" if self.state is None else name_of(self.state.installation)

    async def open(self) -> None:
        """Starts watching; waits a moment for a first state, which may come from the copy, and for the
        advisories."""
        await self._rows.open()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIRST_SECONDS):
                await self._first.wait()
        await self.feeds.open()
        if self.state is None:
            log.warning(
                "access_unknown", hint="neither PostgreSQL nor the queue Redis tells tokens and blocks"
            )

    async def aclose(self) -> None:
        """Stops watching."""
        await self.feeds.aclose()
        await self._rows.aclose()
        if self._expiry is not None:
            self._expiry.cancel()

    @property
    def advisories(self) -> Advisories | None:
        """Those that count; None: none are known, or the rules in force ask for none."""
        return self.feeds.advisories if self._rules_of(self.state).feeds else None

    @property
    def differs(self) -> bool:
        """Whether other rules are in force than this process's environment asks for."""
        return not self.own_rules.is_as(self._rules_of(self.state))

    def problems(self) -> list[str]:
        """What is wrong with the policy, for anybody."""
        found = []
        if self.differs:
            found.append(
                "policy: this gateway's ORCHARD_MINIMUM_AGE or its like is not what the last migrations step "
                "put in force (docs/firewall.md)"
            )
        if self._rules_of(self.state).feeds:
            found += self.feeds.problems(clock.now())
        return found

    def _rules_of(self, state: AccessState | None) -> Rules:
        return self.own_rules if state is None or state.rules is None else state.rules

    async def refresh(self) -> None:
        """Read the rows now, after a hint that they have changed. Raises `DatabaseUnavailable`."""
        state = await self._repository.load()
        known = state.revision if self.state is None else self.state.revision
        self._take(await self._lifted(state, known))

    async def catch_up(self) -> None:
        """As `refresh`, if the rows have changed since, and the newest advisories: one small statement and a
        command if nothing has."""
        with contextlib.suppress(OrchardError):
            await self.feeds.look()
        if self.state is None or await self._repository.revision() > self.state.revision:
            await self.refresh()

    async def _read(self, _key: str) -> None:
        try:
            await self._read_rows()
        finally:
            self._first.set()  # an attempt is enough: a process starts without any store

    async def _read_rows(self) -> None:
        try:
            state = await self._repository.load()
        except OrchardError:
            if self.state is None:
                copy = await read_copy(self._redis)
                if copy is not None:
                    log.warning("access_from_copy", revision=copy.revision)
                    self._take(copy)
            raise
        known = -1 if self.state is None else self.state.revision
        with contextlib.suppress(OrchardError):  # at every read: the copy may have been lost
            known = max(known, await keep_copy(self._redis, state))
        with contextlib.suppress(OrchardError):
            state = await self._lifted(state, known)
        self._take(state)

    async def _lifted(self, state: AccessState, known: int) -> AccessState:
        """The state of the rows, numbered above all that was read before: they may have been restored."""
        if known <= state.revision:
            return state
        if await self._repository.lift(known):
            log.warning("access_revision_lifted", found=state.revision, known=known)
        state = await self._repository.load()
        await keep_copy(self._redis, state)
        return state

    def _take(self, state: AccessState) -> None:
        known = self.state
        if known is not None and state.revision <= known.revision and known.installation:
            return
        policy = self.policy
        if known is None or _policy_of(state) != _policy_of(known):
            policy = self._made_of(state)
        if self._on_change is not None:
            self._on_change(state)
        self.state, self.policy = state, policy  # last: an interrupted change is repeated
        if self.differs and (known is None or known.rules != state.rules):
            log.warning("rules_differ", hint="the rules in force are those of the last migrations step")
        self._await_expiry(state)

    def _made_of(self, state: AccessState | None) -> Policy:
        now = clock.now()
        blocks, exemptions = ((), ()) if state is None else (state.blocks, state.exemptions)
        active = [each for each in exemptions if each.is_active(now)]
        return Policy(
            blocks,
            self._rules_of(state),
            active,
            named=self._named,
            order=self._order,
            attests=self._attests,
            advisories=self.feeds.advisories,
            named_rules=() if state is None else state.policy_rules,
        )

    def _advised(self) -> None:
        """Other advisories count from now on."""
        policy = self._made_of(self.state)
        if self._on_change is not None:
            self._on_change(self.state)
        self.policy = policy

    def _await_expiry(self, state: AccessState) -> None:
        """Looks again when the next exemption is over. Clocks step: it never waits long without a look."""
        if self._expiry is not None:
            self._expiry.cancel()
        ends = [each.expires_at for each in self.policy.exemptions if each.expires_at]
        if not ends:
            return
        seconds = min(max(SHORTEST_LOOK_SECONDS, min(ends) - clock.now()), LONGEST_LOOK_SECONDS)
        self._expiry = asyncio.get_running_loop().call_later(seconds, self._expired, state)

    def _expired(self, state: AccessState) -> None:
        try:
            policy = self._made_of(state)
            if policy.exemptions != self.policy.exemptions:
                if self._on_change is not None:
                    self._on_change(state)
                self.policy = policy
                log.info("exemptions_over", left=len(policy.exemptions))
        finally:  # whatever cannot be done now is done at the next look: no exemption goes on for ever
            self._await_expiry(state)


def _policy_of(state: AccessState) -> tuple[object, ...]:
    return state.blocks, state.rules, state.policy_rules, state.exemptions
