"""Circuit breakers per address, per kind of resource on a host, and per host, so that one failure does not
take its source away.

Three things can be left alone, each under a name of its own:

* one address (`one@…`) that failed twice: for a second, then for 2, 4 and 5; or as its Retry-After says;
* a kind of resource on a host (`index`, `file@files.example.com:443`): when several addresses of it
  failed and none answered meanwhile;
* a host for everything (`host`, `host@…`): when it cannot be reached at all (no name, no connection, no
  TLS).

The last two end by a probe of something known to be good (probes.py), not of whatever is asked for next:
whoever comes after the pause waits for the probe, one of all processes. So a broken package that is asked
for again and again closes nothing, and a source that is back is found within seconds. What the upstream
said (Retry-After) is heeded for what it is about: that address, or the kind on that host when it said so
of several. Trouble of our own (descriptors, memory, a full pool, the egress policy) never counts.

The state lies in the cache Redis, so that it holds for the whole fleet and gateways can serve stale at
once. Without Redis each fetcher goes by what it saw itself. All times are monotonic or expiries.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import math
import time
from collections.abc import Callable

import msgspec

from services.fetcher.sources.probes import Asked, KnownGood, Probe
from shared.cache.service import CacheService
from shared.errors import OrchardError, UpstreamUntrusted
from shared.errors.passing import CacheUnavailable, UpstreamRateLimited, UpstreamTimeout, UpstreamUnavailable
from shared.models import FORMAT, BreakerState, UpstreamSource
from shared.process.bounded import Bounded
from shared.telemetry.logs import get_logger
from shared.telemetry.metrics import BREAKER_OPEN

log = get_logger()

ADDRESSES_TO_OPEN = 3  # distinct ones of a kind on a host, with no answer between
WITHIN_SECONDS = 30.0  # failures longer ago do not count
FIRST_PAUSE_SECONDS = 1.0
MAX_PAUSE_SECONDS = 5.0  # what is back is found within this and a probe
FAILURES_OF_ONE = 2  # of one address, before it is left alone
REMEMBERED_SECONDS = 60  # how long after its pause one address's failures are remembered
PROBE_SECONDS = 3.0  # then the next one may probe, too; the slow probe goes on and may still end it
MOST_REMEMBERED = 4096
FORESEEN_SECONDS = 0.25  # then what was read ahead of a request does not count
MOST_FORESEEN = 256

COUNTED = (UpstreamRateLimited, UpstreamTimeout, UpstreamUnavailable, UpstreamUntrusted)
Key = tuple[int, str]  # source id, name


class Breakers:
    """Circuit breakers: asked before each request to an upstream, and updated after it."""

    def __init__(
        self, cache: CacheService, probe: Probe, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._cache = cache
        self._probe = probe
        self._monotonic = monotonic
        self._good = KnownGood()
        # Address → when, whether the upstream sent Retry-After.
        self._failing = Bounded[Key, dict[str, tuple[float, bool]]](MOST_REMEMBERED)
        self._names: dict[Key, str] = {}  # of the sources whose kinds or hosts this process left alone
        self._seen = Bounded[Key, tuple[BreakerState, float]](MOST_REMEMBERED)  # with the end of the pause
        self._foreseen = Bounded[Key, tuple[float, list[BreakerState | None]]](MOST_FORESEEN)  # by address
        self._probing: dict[Key, asyncio.Task[None]] = {}
        self._probes: set[asyncio.Task[None]] = set()  # those that the next may overtake, too

    async def aclose(self) -> None:
        """Give up all probes."""
        running = [*self._probes]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def show_open(self) -> None:
        """Set the metric anew: what ended while this process asked nothing is not shown for ever."""
        BREAKER_OPEN.clear()
        since = self._monotonic() - REMEMBERED_SECONDS
        for key in self._seen:
            seen = self._seen.get(key)
            if key in self._names and seen is not None and seen[1] > since:
                BREAKER_OPEN.labels(self._names[key], key[1]).set(1)

    async def foresee(self, asked: Asked) -> None:
        """Read what the `check` that follows at once would read, beside what else is read. Never raises."""
        with contextlib.suppress(OrchardError):  # no address
            now, names = self._monotonic(), [asked.host_name, asked.name, _one(asked)]
            states = await self._read(asked.source, names)
            self._foreseen.put((asked.source.id, asked.url), (now, states))

    async def check(self, asked: Asked, *, again: bool = False) -> None:
        """Returns if it may be asked now; raises the error that stands against it if not.

        `again`: within one run that asks the same address several times; its own memory does not count.
        """
        one = _one(asked)
        names = [asked.host_name, asked.name, *([] if again else [one])]
        foreseen = self._foreseen.pop((asked.source.id, asked.url))
        if foreseen is None or again or self._monotonic() - foreseen[0] > FORESEEN_SECONDS:
            states = await self._read(asked.source, names)
        else:
            states = foreseen[1]
        for name, state in zip(names, states, strict=True):
            if state is None:
                continue
            if state.left_seconds > 0 and (asked.source.id, name) not in self._probing:
                raise _refusal(state, state.left_seconds)
            if name != one:
                await self._ask_something_good(asked, name, state)

    async def succeeded(self, asked: Asked) -> None:
        """It answered properly (a 404 is a proper answer)."""
        self._good.remember(asked)
        for name in (asked.name, asked.host_name, _one(asked)):
            await self._close(asked.source, name)

    async def failed(self, asked: Asked, error: OrchardError) -> None:
        """Count a failure, and open what it shows to be failing."""
        if not isinstance(error, COUNTED):
            return
        source, now = asked.source, self._monotonic()
        if error.about_host:  # whether that is so, the next one's probe will tell
            if (source.id, asked.host_name) not in self._seen:
                await self._open(source, asked.host_name, error, 0, 0.0)
            return
        await self._count_one(asked, error)
        if error.about_one:
            return
        self._good.forget(asked)
        failing = self._failing.get((source.id, asked.name))
        if failing is None:
            failing = {}
            self._failing.put((source.id, asked.name), failing)
        failing[asked.url] = (now, error.asked_to_wait)
        for url in [url for url, (at, _) in failing.items() if now - at > WITHIN_SECONDS]:
            del failing[url]
        if len(failing) < ADDRESSES_TO_OPEN or (source.id, asked.name) in self._seen:
            return
        all_asked = error.asked_to_wait and all(each for _, each in failing.values())
        pause = float(error.retry_after_seconds) if all_asked else 0.0
        await self._open(source, asked.name, error, 0, pause)

    # --- one address --------------------------------------------------------------------------------

    async def _count_one(self, asked: Asked, error: OrchardError) -> None:
        name = _one(asked)
        (state,) = await self._read(asked.source, [name])
        count = (state.pauses if state is not None else 0) + 1
        pause = float(error.retry_after_seconds) if error.asked_to_wait else _pause(count - FAILURES_OF_ONE)
        await self._open(asked.source, name, error, count, pause)

    # --- probing --------------------------------------------------------------------------------------

    async def _ask_something_good(self, asked: Asked, name: str, state: BreakerState) -> None:
        """Returns when a probe found that it works again; raises the error that stands if not."""
        key = (asked.source.id, name)
        running = self._probing.get(key)
        if running is None:
            if not await self._may_probe(asked.source, name):
                (now,) = await self._read(asked.source, [name])
                if now is None:
                    return
                raise _refusal(now, now.left_seconds)
            running = self._probing[key] = asyncio.create_task(self._run_probe(asked, name, state))
            self._probes.add(running)
            running.add_done_callback(lambda task: self._probed(key, task))
        done, _ = await asyncio.wait([running], timeout=PROBE_SECONDS)
        if not done:
            self._leave(key, running)  # the next one may try anew
            raise _refusal(state, FIRST_PAUSE_SECONDS)
        (now,) = await self._read(asked.source, [name])
        if now is not None and now.left_seconds > 0:
            raise _refusal(now, now.left_seconds)

    def _probed(self, key: Key, task: asyncio.Task[None]) -> None:
        self._probes.discard(task)
        self._leave(key, task)
        if not task.cancelled() and (defect := task.exception()) is not None:
            log.error("a probe raised", exc_info=defect)

    def _leave(self, key: Key, task: asyncio.Task[None]) -> None:
        if self._probing.get(key) is task:
            del self._probing[key]

    async def _run_probe(self, asked: Asked, name: str, state: BreakerState) -> None:
        source = asked.source
        urls = self._good.addresses(asked, name)
        first = state.pauses % len(urls)  # one that is stuck must not be the only one that is asked
        error: OrchardError | None = None
        for url in urls[first:] + urls[:first]:
            error = await self._probe(source, url)
            if error is None:
                await self._close(source, name)
                return
            if error.about_host or error.asked_to_wait or isinstance(error, UpstreamTimeout):
                break  # the others would fare no better, or would cost too much
        assert error is not None
        pauses = state.pauses + 1
        pause = float(error.retry_after_seconds) if error.asked_to_wait else _pause(pauses - 1)
        await self._open(source, name, error, pauses, pause)

    async def _may_probe(self, source: UpstreamSource, name: str) -> bool:
        try:
            return await self._cache.try_probe(source.protocol, source.id, PROBE_SECONDS, name)
        except CacheUnavailable:
            return True

    # --- state ----------------------------------------------------------------------------------------

    async def _read(self, source: UpstreamSource, names: list[str]) -> list[BreakerState | None]:
        try:
            states = await self._cache.read_breakers(source.protocol, source.id, names)
        except CacheUnavailable:
            return [self._seen_state((source.id, name)) for name in names]
        for name, state in zip(names, states, strict=True):
            if state is not None:
                self._note(state)
            elif (source.id, name) in self._seen:  # closed by another process
                self._forget(source, name)
        return states

    def _seen_state(self, key: Key) -> BreakerState | None:
        seen = self._seen.get(key)
        if seen is None:
            return None
        state, until = seen
        return msgspec.structs.replace(state, left_seconds=max(0.0, until - self._monotonic()))

    def _note(self, state: BreakerState) -> None:
        key = (state.source_id, state.name)
        self._seen.put(key, (state, self._monotonic() + state.left_seconds))

    def _forget(self, source: UpstreamSource, name: str) -> bool:
        key = (source.id, name)
        self._failing.pop(key)
        if self._seen.pop(key) is None:
            return False
        if not name.startswith(_ONE):
            self._names.pop(key, None)
            with contextlib.suppress(KeyError):
                BREAKER_OPEN.remove(source.name, name)
        return True

    async def _open(
        self, source: UpstreamSource, name: str, error: OrchardError, pauses: int, pause: float
    ) -> None:
        one = name.startswith(_ONE)
        state = BreakerState(
            format=FORMAT,
            source_id=source.id,
            state="open",
            until=time.time() + pause,
            reason=error.code,
            retry_after_seconds=error.retry_after_seconds if error.asked_to_wait else 0,
            name=name,
            message=error.message,
            pauses=pauses,
            left_seconds=pause,
        )
        if not one:
            if (source.id, name) not in self._seen:
                log.warning(
                    "breaker_opened", source=source.name, name=name, reason=error.code, message=error.message
                )
            self._names[(source.id, name)] = source.name
            BREAKER_OPEN.labels(source.name, name).set(1)
        self._note(state)
        try:
            if one:
                await self._cache.write_breaker(source.protocol, state, kept_seconds=REMEMBERED_SECONDS)
            else:
                await self._cache.write_breaker(source.protocol, state)
        except CacheUnavailable as failure:
            log.debug("breaker_not_shared", error=failure.code)

    async def _close(self, source: UpstreamSource, name: str) -> None:
        if not self._forget(source, name):
            return
        if not name.startswith(_ONE):
            log.info("breaker_closed", source=source.name, name=name)
        try:
            await self._cache.clear_breaker(source.protocol, source.id, name)
        except CacheUnavailable as error:
            log.debug("breaker_not_cleared", error=error.code)


_ONE = "one@"


def _one(asked: Asked) -> str:
    return _ONE + hashlib.sha256(asked.url.encode()).hexdigest()[:24]


def _pause(number: int) -> float:
    """Seconds of the pause of that number, counted from 0; none before."""
    return 0.0 if number < 0 else min(MAX_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(number, 16))


def _refusal(state: BreakerState, left_seconds: float) -> OrchardError:
    left = max(1, math.ceil(left_seconds))
    if state.reason == UpstreamUntrusted.code:  # no waiting helps
        return UpstreamUntrusted(state.message)
    kind = UpstreamRateLimited if state.reason == UpstreamRateLimited.code else UpstreamUnavailable
    error = kind(f"{state.message}; it is left alone for {left} s", retry_after_seconds=left)
    error.asked_to_wait = True
    return error
