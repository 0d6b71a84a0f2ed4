"""`serve_index`: how an index page is answered from what is cached, refreshed, stale or missing.

DESIGN.md §3 "Index hit" and "Index miss or expiry". Pure policy: all I/O goes through `ports`.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Literal

from shared.errors import (
    CacheUnavailable,
    DeadlineExceeded,
    OrchardError,
    ProjectNotFound,
    StoreUnavailable,
    from_value,
)
from shared.events import Event
from shared.jobs import FetchIndex, RenderIndex
from shared.models import FORMAT, IndexHead, VariantInfo
from shared.protocols.conditions import Conditions, etag_matches
from shared.protocols.ports import CacheWord, IndexEntry, Ports, Reply
from shared.protocols.resource import Resource

STALE_MAX_AGE_SECONDS = 5
"""How long a client may keep a page that is being refreshed: short, so that it sees the refresh."""

REVALIDATE_AT_MOST_EVERY_SECONDS = 10
"""A client's `no-cache` reaches the upstream at most once per page in this time, fleet-wide."""

Verdict = Literal["fresh", "negative", "expired", "failing", "unsure", "miss"]


def variant_name(resource: Resource, conditions: Conditions) -> str:
    """The name of one finished body: representation, coding and, where bodies differ by it, base URL."""
    name = f"{resource.representation}.{conditions.coding}"
    if resource.per_base_url:
        name += "." + sha256(conditions.base_url.encode()).hexdigest()[:16]
    return name


def judge(entry: IndexEntry, now: float, *, stale_limit: float) -> Verdict:
    """What may be done with an index as read.

    fresh, negative: answer from it. expired: ask upstream, wait a little. failing: stale at once.
    unsure: nobody can say whether it is current, stale at once. miss: nothing that may be served.
    """
    head = entry.head
    if head is None or head.format != FORMAT:
        return "miss"
    if head.source_revision < entry.revision:
        return "miss"  # made from sources that have changed since: they may be disabled now
    fresh = now < head.fresh_until
    if head.status == 404:
        return "negative" if fresh else "miss"
    if head.status != 200:
        return "miss"
    if stale_limit and now - head.fresh_until > stale_limit:
        return "miss"
    if not entry.verified:
        return "unsure"
    if head.failing:
        return "failing"
    return "fresh" if fresh else "expired"


def served_now(
    resource: Resource,
    conditions: Conditions,
    variant: str,
    entry: IndexEntry,
    *,
    now: float,
    stale_limit: float,
) -> Reply | None:
    """The reply of a plain hit whose body is in memory, without any waiting; None for all else.

    The gateway's hot path calls this with what its in-process cache holds.
    """
    if conditions.no_cache and resource.honours_no_cache:
        return None
    if judge(entry, now, stale_limit=stale_limit) != "fresh":
        return None
    head = entry.head
    assert head is not None
    info = head.variants.get(variant)
    if info is None:
        return None
    if etag_matches(conditions.if_none_match, info.etag):
        return _not_modified(resource, head, info, "HIT", now)
    if conditions.head:
        return _page(resource, conditions, head, info, "HIT", now)
    if entry.body is None:
        return None
    reply = _page(resource, conditions, head, info, "HIT", now)
    reply.body = entry.body
    return reply


async def serve_index(resource: Resource, conditions: Conditions, ports: Ports) -> Reply:
    """The reply for an index page.

    Raises `ProjectNotFound` when the upstream truly lacks it, and a passing error when it was
    never seen and cannot be fetched now.
    """
    return await _IndexRequest(resource, conditions, ports).answer()


class _IndexRequest:
    """One request on its way through the policy."""

    def __init__(self, resource: Resource, conditions: Conditions, ports: Ports) -> None:
        self.resource = resource
        self.conditions = conditions
        self.ports = ports
        self.variant = variant_name(resource, conditions)
        self.deadline = ports.clock.monotonic() + ports.settings.request_timeout

    # --- policy -----------------------------------------------------------------------------------

    async def answer(self) -> Reply:
        entry = await self._read()
        verdict = self._judge(entry)
        asked_anew = verdict in ("fresh", "negative", "expired") and await self._revalidates()
        if verdict == "miss" or (asked_anew and verdict == "negative"):
            return await self._miss()
        if asked_anew:
            # The client waits for the upstream, but not as long as for a page we do not have.
            return await self._refresh(entry, self._remaining() / 2, background=False)
        if verdict == "fresh":
            return await self._serve(entry, "HIT")
        if verdict == "negative":
            return self._negative(entry, "NEGATIVE")
        if verdict == "unsure":
            return await self._serve(entry, "STALE")
        head = entry.head
        assert head is not None
        if verdict == "failing":
            if self.ports.clock.now() >= head.retry_at:
                await self.ports.misses.start(self._fetch_job(background=True))
            return await self._serve(entry, "STALE")
        if await self.ports.index.upstream_is_down(self.resource.protocol, head.source_id):
            return await self._serve(entry, "STALE")
        return await self._refresh(entry, self.ports.settings.stale_wait, background=True)

    async def _refresh(self, entry: IndexEntry, wait: float, *, background: bool) -> Reply:
        """Ask upstream for a page that we have; what we have is the answer to any trouble."""
        old = entry.head
        assert old is not None

        async def renewed() -> bool:
            head = (await self._read(direct=True)).head
            return head is not None and _newer(head, old)

        try:
            await self.ports.misses.wait(
                self._fetch_job(background=background), until=renewed, timeout=min(wait, self._remaining())
            )
            newer = await self._read(direct=True)
        except OrchardError:
            return await self._serve(entry, "STALE")
        if newer.head is not None and _newer(newer.head, old):
            if newer.head.status == 404:
                return self._negative(newer, "MISS")  # a true 404 wins over any copy
            verdict = self._judge(newer)
            if verdict in ("fresh", "expired"):
                return await self._serve(newer, "REVALIDATED")
            if verdict != "miss":
                return await self._serve(newer, "STALE")
        if self._judge(newer) == "miss":
            return await self._miss()  # the sources changed while we waited
        return await self._serve(entry, "STALE")

    async def _miss(self) -> Reply:
        """Nothing may be served: wait for the upstream's answer."""

        async def usable() -> bool:
            return self._judge(await self._read(direct=True)) in ("fresh", "negative")

        event = await self.ports.misses.wait(
            self._fetch_job(background=False), until=usable, timeout=self._remaining()
        )
        entry = await self._read(direct=True)
        verdict = self._judge(entry)
        if verdict in ("fresh", "expired"):
            return await self._serve(entry, "MISS", may_fetch=False)
        if event.kind == "failed" and event.error is not None and verdict not in ("failing", "unsure"):
            raise from_value(event.error)
        if verdict == "failing":
            return await self._serve(entry, "STALE", may_fetch=False)  # the last good copy was found again
        if entry.head is not None and entry.head.status == 404:
            return self._negative(entry, "MISS")
        raise CacheUnavailable(f"the fetched index {self.resource.identity} was not found in the cache")

    # --- steps --------------------------------------------------------------------------------------

    async def _serve(self, entry: IndexEntry, word: CacheWord, *, may_fetch: bool = True) -> Reply:
        """The page of `entry`, rendered again first where its variant is missing."""
        reply = await self._from_entry(entry, word)
        if reply is not None:
            return reply
        rendered = await self._render(may_fetch=may_fetch)
        if rendered.kind == "failed" and rendered.error is not None:
            if may_fetch and word != "STALE":
                return await self._miss()
            raise from_value(rendered.error)
        reply = await self._from_entry(await self._read(direct=True), "STALE" if word == "STALE" else "MISS")
        if reply is None:
            raise StoreUnavailable(f"index {self.resource.identity} lacks its variant {self.variant}")
        return reply

    async def _from_entry(self, entry: IndexEntry, word: CacheWord) -> Reply | None:
        head = entry.head
        info = head.variants.get(self.variant) if head is not None else None
        if head is None or info is None:
            return None
        now = self.ports.clock.now()
        if etag_matches(self.conditions.if_none_match, info.etag):
            return _not_modified(self.resource, head, info, word, now)
        reply = _page(self.resource, self.conditions, head, info, word, now)
        if self.conditions.head:
            return reply
        reply.body = entry.body
        if reply.body is None and info.object_key:
            size = info.size_bytes
            reply.body = await self.ports.objects.open(info.object_key, 0, size, size_bytes=size)
        return None if reply.body is None else reply

    async def _render(self, *, may_fetch: bool) -> Event:
        job = RenderIndex(
            protocol=self.resource.protocol,
            identity=self.resource.identity,
            base_url=self.conditions.base_url if self.resource.per_base_url else "",
            request_id=self.conditions.request_id,
        )

        async def rendered() -> bool:
            return await self._has_body(await self._read(direct=True))

        return await self.ports.misses.wait(job, until=rendered, timeout=self._remaining())

    async def _has_body(self, entry: IndexEntry) -> bool:
        reply = await self._from_entry(entry, "MISS")
        if reply is None:
            return False
        if reply.body is not None and not isinstance(reply.body, (bytes, memoryview)):
            await reply.body.aclose()
        return True

    async def _revalidates(self) -> bool:
        if not (self.conditions.no_cache and self.resource.honours_no_cache):
            return False
        resource = self.resource
        return await self.ports.index.allow_revalidation(
            resource.protocol, resource.identity, REVALIDATE_AT_MOST_EVERY_SECONDS
        )

    def _negative(self, entry: IndexEntry, word: CacheWord) -> Reply:
        head = entry.head
        assert head is not None
        life = _remaining_life(head, self.ports.clock.now())
        error = ProjectNotFound(f"no upstream knows {self.resource.project or self.resource.identity}")
        headers = [(b"cache-control", b"max-age=%d" % life), (b"vary", self.resource.vary.encode())]
        return Reply(404, word, headers, error=error)

    def _fetch_job(self, *, background: bool) -> FetchIndex:
        return FetchIndex(
            protocol=self.resource.protocol,
            identity=self.resource.identity,
            background=background,
            request_id=self.conditions.request_id,
        )

    async def _read(self, *, direct: bool = False) -> IndexEntry:
        resource = self.resource
        return await self.ports.index.read_index(
            resource.protocol, resource.identity, self.variant, direct=direct
        )

    def _judge(self, entry: IndexEntry) -> Verdict:
        return judge(entry, self.ports.clock.now(), stale_limit=self.ports.settings.stale_limit)

    def _remaining(self) -> float:
        left = self.deadline - self.ports.clock.monotonic()
        if left <= 0:
            raise DeadlineExceeded(f"index {self.resource.identity} was not ready in time")
        return left


def _newer(head: IndexHead, old: IndexHead) -> bool:
    return (head.generation, head.fetched_at) != (
        old.generation,
        old.fetched_at,
    ) or head.failing != old.failing


def _remaining_life(head: IndexHead, now: float) -> int:
    return max(0, int(head.fresh_until - now))


def _validators(
    resource: Resource, head: IndexHead, info: VariantInfo, word: CacheWord, now: float
) -> list[tuple[bytes, bytes]]:
    """What a 200 and its 304 have in common (RFC 9110 §15.4.5): ETag, Cache-Control, Vary."""
    life = STALE_MAX_AGE_SECONDS if word == "STALE" else _remaining_life(head, now)
    return [
        (b"etag", info.etag.encode("latin-1")),
        (b"cache-control", b"max-age=%d" % life),
        (b"vary", resource.vary.encode("latin-1")),
    ]


def _not_modified(
    resource: Resource, head: IndexHead, info: VariantInfo, word: CacheWord, now: float
) -> Reply:
    return Reply(304, word, _validators(resource, head, info, word, now))


def _page(
    resource: Resource,
    conditions: Conditions,
    head: IndexHead,
    info: VariantInfo,
    word: CacheWord,
    now: float,
) -> Reply:
    headers = _validators(resource, head, info, word, now)
    headers.append((b"content-type", (resource.content_type or info.content_type).encode("latin-1")))
    headers.append((b"content-length", b"%d" % info.size_bytes))
    if conditions.coding != "identity":
        headers.append((b"content-encoding", conditions.coding.encode("latin-1")))
    return Reply(200, word, headers)
