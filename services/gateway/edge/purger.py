"""Tells caches in front of Orchard what to forget, from the events that this gateway's own memory lives by.

Every gateway purges, after its own memory has changed: what it answered before is then gone from the edge
too. Twice, for answers that were on their way meanwhile. Nothing is queued for an edge that is away: it is
asked once a second to forget everything, until it does. So is every edge at this gateway's start and whenever
changes may have been missed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

import aiohttp

from services.gateway.hits.tracking import InvalidationStream
from services.gateway.serving.surrogate_keys import EVERYTHING, key_name, project_name
from shared.access.feeds import Project
from shared.cache.keys import PREFIX, Category
from shared.errors import OrchardError
from shared.policy.policy import NO_RULES
from shared.policy.rules import Block
from shared.protocols import find_protocol
from shared.redis.client import RedisClient
from shared.telemetry.logs import get_logger

log = get_logger()

GATHER_SECONDS = 0.02  # one request for what changes together
AGAIN_SECONDS = 0.5
RETRY_SECONDS = 1.0
ANSWER_SECONDS = 2.0
MOST_NAMES = 4096  # waiting; more are purged as everything
NAMES_PER_REQUEST = 150  # of 21 bytes mostly: below a cache's bound for one header

_PAGE = f"{PREFIX}{Category.PACKAGE_INDEX.value}:"
_FILE = f"{PREFIX}{Category.ARTIFACT_METADATA.value}:"
_SOURCES = f"{PREFIX}{Category.UPSTREAM_SOURCES.value}:"


class Edge:
    """One cache, and what it has still to forget."""

    def __init__(self, session: aiohttp.ClientSession, address: str, token: str) -> None:
        self._session = session
        self._address = address
        self._headers = {"Authorization": f"Bearer {token}"}
        self._names = {EVERYTHING}
        self._repeated: set[str] = set()
        self._awake = asyncio.Event()
        self._awake.set()
        self._away = ""  # why, for the log

    def forget(self, names: Iterable[str]) -> None:
        """Have these forgotten at once, and once more soon after."""
        self._names.update(names)
        if len(self._names) > MOST_NAMES:
            self._names = {EVERYTHING}
        self._awake.set()

    def _repeat(self, names: set[str]) -> None:
        self._repeated |= names
        self._awake.set()

    async def run(self) -> None:
        """Send what is to be forgotten, for ever."""
        while True:
            await self._awake.wait()
            await asyncio.sleep(GATHER_SECONDS)
            self._awake.clear()
            names, repeated = self._names, self._repeated
            self._names, self._repeated = set(), set()
            if await self._purge(names | repeated):
                if names:
                    asyncio.get_running_loop().call_later(AGAIN_SECONDS, self._repeat, names)
            else:
                await asyncio.sleep(RETRY_SECONDS)
                self.forget([EVERYTHING])

    async def _purge(self, names: set[str]) -> bool:
        waiting = [EVERYTHING] if EVERYTHING in names else sorted(names)
        why = ""
        for first in range(0, len(waiting), NAMES_PER_REQUEST):
            why = why or await self._ask(" ".join(waiting[first : first + NAMES_PER_REQUEST]))
        if why != self._away:
            log.warning("edge_away" if why else "edge_back", edge=self._address, reason=why)
            self._away = why
        return not why

    async def _ask(self, names: str) -> str:
        """Why it was not done; "" when it was."""
        headers = {**self._headers, "Surrogate-Key": names}
        try:
            async with self._session.request(
                "PURGE", self._address, headers=headers, allow_redirects=False
            ) as response:
                return "" if response.status == 200 else f"status {response.status}"
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            return type(error).__name__


class EdgePurger:
    """Purges all edges. The caller opens and closes it; `blocks_changed` is called by whoever hears of it."""

    def __init__(self, redis: RedisClient, addresses: Sequence[str], token: str) -> None:
        self._redis = redis
        self._addresses = addresses
        self._token = token
        self._edges: list[Edge] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._session: aiohttp.ClientSession | None = None
        self._blocks: frozenset[Block] = frozenset()
        self._rules: object = NO_RULES
        self._advisories = ""
        self._revisions: dict[str, bytes] = {}  # key → value: of a protocol's sources
        self._renewed = asyncio.Queue[str](maxsize=256)
        self._stream = InvalidationStream(
            redis,
            prefix=PREFIX,
            on_change=self._changed,
            on_flush=self._forget_all,
            on_connected=lambda connected: self._forget_all() if connected else None,
        )

    async def open(self) -> None:
        """Start; neither Redis nor an edge needs to be there."""
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        )
        self._edges = [Edge(self._session, address, self._token) for address in self._addresses]
        self._tasks = [asyncio.create_task(edge.run()) for edge in self._edges]
        self._tasks.append(asyncio.create_task(self._compare_revisions()))
        await self._stream.open()

    async def aclose(self) -> None:
        """Stop."""
        await self._stream.aclose()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    def blocks_changed(self, blocks: Iterable[Block], rules: object = NO_RULES) -> None:
        """Purge what the difference can match: a project; everything for bytes, which any page may list.
        Exemptions are blocks that let out. `rules`: all others, which may be about anything."""
        if rules != self._rules:
            self._rules = rules
            self._forget_all()
        now = frozenset(blocks)
        different, self._blocks = now ^ self._blocks, now
        if different:
            self._forget(
                EVERYTHING if each.sha256 else project_name(each.protocol, each.name) for each in different
            )

    def advisories_changed(self, digest: str, changed: frozenset[Project] | None) -> None:
        """Purge the projects that differ by the last change of advisories; None: it may be any."""
        if digest == self._advisories:
            return
        self._advisories = digest
        names: set[str] = set()
        for protocol, project in changed or ():
            found = find_protocol(protocol)
            spellings = () if found is None else found.names.spellings(project)
            names |= {project_name(protocol, each) for each in spellings}
            if found is not None and not spellings:  # they are too many to name
                changed = None
        if changed is None:
            self._forget_all()
        elif names:
            self._forget(names)

    # --- what Redis tells ---------------------------------------------------------------------------

    def _changed(self, keys: list[str]) -> None:
        names = [key_name(key) for key in keys if key.startswith((_PAGE, _FILE)) and ":v:" not in key]
        if names:
            self._forget(names)
        for key in keys:
            if key.startswith(_SOURCES) and key.endswith(":revision"):
                if self._renewed.full():
                    self._forget_all()
                else:
                    self._renewed.put_nowait(key)

    async def _compare_revisions(self) -> None:
        """The revision of a protocol's sources is written again each minute, and seldom another."""
        while True:
            key = await self._renewed.get()
            try:
                (value,) = await self._redis.get_many([key])
            except OrchardError:
                self._forget_all()
                continue
            if value is not None and value != self._revisions.get(key):
                self._revisions[key] = value
                self._forget([key.split(":")[2]])

    def _forget(self, names: Iterable[str]) -> None:
        wanted = list(names)
        for edge in self._edges:
            edge.forget(wanted)

    def _forget_all(self) -> None:
        self._forget([EVERYTHING])
