"""Connections that are stalled by their client: none may hold the others up.

The server (granian) has a deadline for heads alone, and sends files by itself. So the kernel is asked how
each connection flows, which costs a hit nothing and holds for every way in which bytes go out.

1. A response whose client takes fewer bytes than a minimum rate over some seconds is broken off.
2. Where connections run short, one address may hold so many that stand still, and no more: those that are
   not taken from, and those that ask for nothing. What waits for us is not its fault.
3. After an answer to a request whose body was not read the connection ends once the answer was taken: the
   server alone would wait for the rest of the body (RFC 9110, 15.5.9 and 15.5.14).
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Container, Iterable

from services.gateway.http.addresses import network_of
from services.gateway.http.responses import UNREAD
from services.gateway.http.sockets import (
    Flow,
    Peer,
    bound_unsent,
    end_connection,
    ends_of,
    flows,
    reset_connection,
)
from shared.process.periodic import Every
from shared.telemetry import metrics
from shared.telemetry.logs import get_logger

log = get_logger()

LOOK_SECONDS = 0.5
SHORT_LOOK_SECONDS = 0.2  # while connections run short
UNSENT_BYTES = 128 * 1024  # per connection
SHORT_FROM = 0.75  # of all connections


class _Seen:
    """The state of a connection: since when it is too slow, and when it last moved at all."""

    __slots__ = ("begun_at", "moved_at", "received", "since_taken", "taken", "waits")

    def __init__(self, flow: Flow, now: float) -> None:
        self.begun_at = self.moved_at = now
        self.since_taken = self.taken = flow.taken
        self.received = flow.received
        self.waits = flow.waits


class SlowClients:
    """Watches the connections of one gateway from `open` to `aclose`."""

    def __init__(
        self,
        *,
        port: int,
        capacity: int,
        share: int,
        stall_seconds: float,
        min_rate_bytes: int,
        proxies: Container[str],
        look: Callable[[], Iterable[Flow]] = flows,
    ) -> None:
        """`capacity`: connections at most; `share`: of those that stand still, per address, when they run
        short. `proxies`: addresses that stand for many clients."""
        self._port = port
        self._short_from = int(capacity * SHORT_FROM)
        self._share = share
        self._stall_seconds = stall_seconds
        self._min_rate_bytes = min_rate_bytes
        self._proxies = proxies
        self._look = look
        self.busy: set[Peer] = set()  # whose request is being answered, where that takes more than memory
        self._unread: dict[Peer, float] = {}  # whose request was answered without its body, and when
        self._seen: dict[int, _Seen] = {}
        self._looks = Every(LOOK_SECONDS, self._turn, name="slow clients")

    async def open(self) -> None:
        """Start watching; bound the kernel's send buffer of new connections."""
        bound_unsent(self._port, UNSENT_BYTES)
        await self._looks.open()

    async def aclose(self) -> None:
        """Stop."""
        await self._looks.aclose()

    def answered(self, peer: Peer, status: int) -> None:
        """A request of `peer`, one of `busy`, was answered with this status."""
        self.busy.discard(peer)
        if status in UNREAD:
            self._unread[peer] = time.monotonic()

    async def _turn(self) -> float:
        return SHORT_LOOK_SECONDS if self.look(time.monotonic()) else LOOK_SECONDS

    def look(self, now: float) -> bool:
        """Check all connections once; True when they run short."""
        known, self._seen = self._seen, {}
        count = 0
        for flow in self._look():
            count += 1
            seen = known.get(flow.descriptor)
            if seen is None or flow.taken < seen.taken or flow.received < seen.received:
                seen = _Seen(flow, now)
            if flow.taken > seen.taken or flow.received > seen.received:
                seen.taken, seen.received, seen.moved_at = flow.taken, flow.received, now
            if not flow.waits:
                seen.begun_at, seen.since_taken = now, flow.taken
            seen.waits = flow.waits
            self._seen[flow.descriptor] = seen
        if self._unread:
            self._end_unread(now)
        slow = [each for each, seen in self._seen.items() if self._is_slow(seen, now)]
        ended = self._end(slow, "slow") if slow else 0
        short = count >= self._short_from
        if short:
            ended += self._end_surplus(now)
        if ended:
            log.info("slow_clients_ended", connections=ended, open=count)
        return short

    def _is_slow(self, seen: _Seen, now: float) -> bool:
        lasted = now - seen.begun_at
        if lasted < self._stall_seconds:
            return False
        if seen.taken - seen.since_taken < self._min_rate_bytes * lasted:
            return True
        seen.begun_at, seen.since_taken = now, seen.taken
        return False

    def _end_unread(self, now: float) -> None:
        """End what was answered without having been read, once the server has written the answer and the
        client has taken it."""
        unread, self._unread = self._unread, {}
        for descriptor, seen in self._seen.items():
            ends = ends_of(descriptor)
            if ends is None or ends[1] != self._port or ends[0] not in unread:
                continue
            if seen.waits or now - unread[ends[0]] < LOOK_SECONDS:
                self._unread[ends[0]] = unread[ends[0]]
            else:
                end_connection(descriptor, ends[0])

    def _end_surplus(self, now: float) -> int:
        """Reset what each address holds stalled beyond its share, the longest first."""
        still: defaultdict[str, list[tuple[float, int]]] = defaultdict(list)
        for descriptor, seen in self._seen.items():
            if now - seen.moved_at < SHORT_LOOK_SECONDS / 2:
                continue  # just come
            ends = ends_of(descriptor)
            if ends is None or ends[1] != self._port or ends[0][0] in self._proxies:
                continue
            if seen.waits or ends[0] not in self.busy:
                still[network_of(ends[0][0])].append((seen.moved_at, descriptor))
        return sum(
            self._end([descriptor for _, descriptor in sorted(each)[: len(each) - self._share]], "surplus")
            for each in still.values()
            if len(each) > self._share
        )

    def _end(self, descriptors: list[int], why: str) -> int:
        ended = 0
        for descriptor in descriptors:
            self._seen.pop(descriptor, None)
            ends = ends_of(descriptor)
            if ends is not None and ends[1] == self._port:
                ended += reset_connection(descriptor, ends[0])
        metrics.CONNECTIONS_ENDED.labels(why).inc(ended)
        return ended
