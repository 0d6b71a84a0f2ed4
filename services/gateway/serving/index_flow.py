"""`serve_index`: how an index page is answered from what is cached, refreshed, stale or missing.

ARCHITECTURE.md "a cold index" walks through it. Pure policy: all I/O goes through `ports`.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from services.gateway.serving.index_reply import (
    Verdict,
    index_reply,
    judge,
    remaining_life,
    variants_of,
)
from services.gateway.serving.ports import CacheWord, IndexEntry, Ports, Reply
from services.gateway.serving.rebasing import rebased
from shared.cache.keys import coding_of, variant_name
from shared.errors import OrchardError, ProjectNotFound, RefusedByPolicy
from shared.errors.catalogue import from_value
from shared.errors.passing import CacheUnavailable, DeadlineExceeded, StoreUnavailable
from shared.http.conditions import Conditions
from shared.models import IndexHead
from shared.protocols import protocol_named
from shared.protocols.resource import Resource
from shared.queue.events import Event
from shared.queue.jobs import IN_USE, FetchIndex, RenderIndex, RenderView

REVALIDATE_AT_MOST_EVERY_SECONDS = 10
"""A client's `no-cache` reaches the upstream at most once per page in this time, fleet-wide."""

REVALIDATION_WAIT_SECONDS = 5.0
"""So long such a client waits for the upstream's answer; then it gets what is kept."""

RENDERED_AT_MOST = 3
"""Times that one request has its body rendered: the page may be replaced before it is read."""


async def serve_index(resource: Resource, conditions: Conditions, ports: Ports) -> Reply:
    """The reply for an index page.

    Raises `ProjectNotFound` when the upstream truly lacks it, and a passing error when it was
    never seen and cannot be fetched now; `DeadlineExceeded` after `Settings.request_seconds`.
    """
    seconds = ports.settings.request_seconds(resource.protocol)
    try:
        async with asyncio.timeout(seconds):
            return await _IndexRequest(resource, conditions, ports).answer()
    except TimeoutError:
        raise _late(resource, seconds) from None


class _IndexRequest:
    """One request on its way through the policy."""

    def __init__(self, resource: Resource, conditions: Conditions, ports: Ports) -> None:
        self.resource = resource
        self.conditions = conditions
        self.ports = ports
        self.variants = variants_of(resource, conditions)
        self.seconds = ports.settings.request_seconds(resource.protocol)
        self.deadline = ports.clock.monotonic() + self.seconds

    # --- policy -----------------------------------------------------------------------------------

    async def answer(self) -> Reply:
        entry = await self._read()
        verdict = self._judge(entry)
        asked_anew = verdict in ("fresh", "negative", "expired") and await self._revalidates()
        if verdict == "miss" or (asked_anew and verdict == "negative"):
            return await self._miss()
        if asked_anew:
            # The client waits for the upstream, but not as long as for a page we do not have.
            wait = min(self._remaining() / 2, REVALIDATION_WAIT_SECONDS)
            return await self._refresh(entry, wait, background=False)
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
        """Ask upstream for a page that is cached; the cached one answers any failure."""
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
        except (OrchardError, TimeoutError):
            with contextlib.suppress(CacheUnavailable):
                if (await self._read(direct=True)).revision > old.source_revision:
                    raise  # its source may be disabled by now: not even as stale
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
        """Nothing may be served: wait for the upstream's answer. Twice: a job that we joined at its end may
        have written what the cache has lost since."""
        for _ in range(2):
            reply = await self._fetched()
            if reply is not None:
                return reply
        raise CacheUnavailable(f"the fetched index of {_noun(self.resource)} was not found in the cache")

    async def _fetched(self) -> Reply | None:
        """What a job left in the cache; None if nothing is there."""

        async def usable() -> bool:
            return self._judge(await self._read(direct=True)) in ("fresh", "negative")

        since = self.ports.clock.now()
        job = self._fetch_job(background=False)
        event = await self.ports.misses.wait(
            job, until=usable, timeout=self._remaining(), live=self._takes_live
        )
        if event.kind == "live":
            reply = await self._relay(job, event)
            if reply is not None:
                return reply
            event = await self.ports.misses.wait(job, until=usable, timeout=self._remaining())
        entry = await self._read(direct=True)
        verdict = self._judge(entry)
        if verdict in ("fresh", "expired"):
            head = entry.head
            # Shown again while the sources take long to answer (ORCHARD_STALE_WAIT).
            old = verdict == "expired" and head is not None and head.fetched_at < since
            return await self._serve(entry, "STALE" if old else "MISS", may_fetch=False)
        if event.kind == "failed" and event.error is not None and verdict not in ("failing", "unsure"):
            raise from_value(event.error)
        if verdict == "failing":
            return await self._serve(entry, "STALE", may_fetch=False)  # the last good copy was found again
        if entry.head is not None and entry.head.status == 404:
            return self._negative(entry, "MISS")
        return None

    # --- steps --------------------------------------------------------------------------------------

    @property
    def _takes_live(self) -> bool:
        """Whether the page may go out as it comes, without its ETag and length: of a long one
        (docs/decisions/0061)."""
        asked = self.conditions
        validated = asked.if_none_match or asked.if_modified_since or asked.range
        whole = asked.head or asked.needs_length or asked.shown_url or self.resource.view
        return not (validated or whole)

    async def _relay(self, job: FetchIndex, event: Event) -> Reply | None:
        """The page as it is read, or None when it is there by now, or another body of it is."""
        body = await self.ports.live.open_index(job, event, self.variants)
        if body is None:
            return None
        resource = self.resource
        content_type = resource.content_type or body.content_type
        headers = [
            (b"content-type", content_type.encode("latin-1")),
            (b"cache-control", b"no-store"),  # nobody has found it whole yet
            (b"vary", resource.vary.encode("latin-1")),
        ]
        coding = coding_of(body.variant)
        if coding != "identity":
            headers.append((b"content-encoding", coding.encode("latin-1")))
        return Reply(200, "LIVE", headers, body=body)

    async def _serve(self, entry: IndexEntry, word: CacheWord, *, may_fetch: bool = True) -> Reply:
        """The page of `entry`, rendered again first where its variant is missing."""
        reply = await self._from_entry(entry, word)
        if reply is not None:
            return reply
        for _ in range(RENDERED_AT_MOST):
            rendered = await self._render()
            if rendered.kind == "failed" and rendered.error is not None:
                if may_fetch and word != "STALE" and not self.resource.view:
                    return await self._miss()
                raise from_value(rendered.error)
            entry = await self._read(direct=True)
            reply = await self._from_entry(entry, "STALE" if word == "STALE" else "MISS")
            if reply is not None:
                return reply
        raise StoreUnavailable(f"the index of {_noun(self.resource)} lacks its variant {self.variants[0]}")

    async def _from_entry(self, entry: IndexEntry, word: CacheWord) -> Reply | None:
        now = self.ports.clock.now()
        found = index_reply(self.resource, self.conditions, entry, word, now)
        if found is None:
            return None
        reply, stored = found
        if stored is not None:
            reply.body = await self.ports.objects.open(
                stored.object_key, stored.start, stored.length, size_bytes=stored.size_bytes
            )
            if reply.body is None:
                return None
        return rebased(reply, self.conditions) if self.conditions.shown_url else reply

    async def _render(self) -> Event:
        wanted: dict[str, Any] = {
            "protocol": self.resource.protocol,
            "identity": self.resource.identity,
            "base_url": self.conditions.base_url if self.resource.per_base_url else "",
            "request_id": self.conditions.request_id,
            "variant": variant_name(self.resource.representation, self.conditions.codings[0]),
        }
        view = self.resource.view
        job = RenderView(view=view, **wanted) if view else RenderIndex(**wanted)

        async def rendered() -> bool:
            return await self._has_body(await self._read(direct=True))

        return await self.ports.misses.wait(job, until=rendered, timeout=self._remaining())

    async def _has_body(self, entry: IndexEntry) -> bool:
        try:
            reply = await self._from_entry(entry, "MISS")
        except RefusedByPolicy:
            return True  # nor will there be one
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
        life = remaining_life(head.fetched_at, head.fresh_until, self.ports.clock.now())
        error = ProjectNotFound(head.reason or f"no upstream has {_noun(self.resource)}")
        headers = [(b"cache-control", b"max-age=%d" % life), (b"vary", self.resource.vary.encode())]
        word = "STALE" if head.failing else word  # the sources' last answer: they could not be asked now
        return Reply(404, word, headers, error=error)

    def _fetch_job(self, *, background: bool) -> FetchIndex:
        base_url, variant = "", IN_USE  # a view has bodies of its own
        if not self.resource.view:
            base_url = self.conditions.base_url if self.resource.per_base_url else ""
            variant = variant_name(self.resource.representation, self.conditions.codings[0])
        return FetchIndex(
            via=self.conditions.via,
            protocol=self.resource.protocol,
            identity=self.resource.identity,
            background=background,
            base_url=base_url,
            request_id=self.conditions.request_id,
            variant=variant,
        )

    async def _read(self, *, direct: bool = False) -> IndexEntry:
        resource = self.resource
        return await self.ports.index.read_index(
            resource.protocol, resource.identity, *self.variants, view=resource.view, direct=direct
        )

    def _judge(self, entry: IndexEntry) -> Verdict:
        return judge(entry, self.ports.clock.now(), stale_limit=self.ports.settings.stale_limit)

    def _remaining(self) -> float:
        left = self.deadline - self.ports.clock.monotonic()
        if left <= 0:
            raise _late(self.resource, self.seconds)
        return left


def _newer(head: IndexHead, old: IndexHead) -> bool:
    return (head.generation, head.fetched_at) != (
        old.generation,
        old.fetched_at,
    ) or head.failing != old.failing


def _noun(resource: Resource) -> str:
    return protocol_named(resource.protocol).grammar.noun_of(resource.identity)


def _late(resource: Resource, seconds: float) -> DeadlineExceeded:
    return DeadlineExceeded(f"the index of {_noun(resource)} was not ready within {seconds:.3g} s")
