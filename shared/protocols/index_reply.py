"""What may be done with an index as it was read, and the reply that is made of it: pure functions."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Literal

from shared.models import FORMAT, IndexHead, VariantInfo
from shared.protocols.conditions import Conditions, etag_matches
from shared.protocols.ports import CacheWord, IndexEntry, Reply
from shared.protocols.resource import Resource

STALE_MAX_AGE_SECONDS = 5
"""How long a client may keep a page that is being refreshed: short, so that it sees the refresh."""

_HTTP_DATE = re.compile(r"[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT", re.ASCII)

SKEW_SECONDS = 5.0
"""By so much the clocks of two processes may differ that share one (shared/clock.py)."""

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
    # A page from the future was stamped by a clock that has gone back since: nobody knows its age.
    fresh = head.fetched_at - SKEW_SECONDS <= now < head.fresh_until
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
    if (conditions.no_cache and resource.honours_no_cache) or conditions.shown_url:
        return None
    if judge(entry, now, stale_limit=stale_limit) != "fresh":
        return None
    head = entry.head
    assert head is not None
    info = head.variants.get(variant)
    if info is None:
        return None
    if etag_matches(conditions.if_none_match, info.etag):
        return not_modified(resource, head, info, "HIT", now)
    if conditions.head:
        return page(resource, conditions, head, info, "HIT", now)
    if entry.body is None:
        return None
    reply = page(resource, conditions, head, info, "HIT", now)
    reply.body = entry.body
    return reply


def remaining_life(head: IndexHead, now: float) -> int:
    """Seconds until it expires; 0 when it has."""
    return max(0, int(min(head.fresh_until - now, head.fresh_until - head.fetched_at)))


def _validators(
    resource: Resource, head: IndexHead, info: VariantInfo, word: CacheWord, now: float
) -> list[tuple[bytes, bytes]]:
    """What a 200 and its 304 have in common (RFC 9110 §15.4.5): ETag, Cache-Control, Vary."""
    life = STALE_MAX_AGE_SECONDS if word == "STALE" else remaining_life(head, now)
    headers = [
        (b"etag", info.etag.encode("latin-1")),
        (b"cache-control", b"max-age=%d" % life),
        (b"vary", resource.vary.encode("latin-1")),
    ]
    if _HTTP_DATE.fullmatch(head.upstream_last_modified):  # tools tell ages of releases by it
        headers.append((b"last-modified", head.upstream_last_modified.encode("latin-1")))
    return headers


def not_modified(
    resource: Resource, head: IndexHead, info: VariantInfo, word: CacheWord, now: float
) -> Reply:
    """The 304 for a client that has this very variant."""
    return Reply(304, word, _validators(resource, head, info, word, now))


def page(
    resource: Resource,
    conditions: Conditions,
    head: IndexHead,
    info: VariantInfo,
    word: CacheWord,
    now: float,
) -> Reply:
    """The 200 without its body."""
    headers = _validators(resource, head, info, word, now)
    headers.append((b"content-type", (resource.content_type or info.content_type).encode("latin-1")))
    headers.append((b"content-length", b"%d" % info.size_bytes))
    if conditions.coding != "identity":
        headers.append((b"content-encoding", conditions.coding.encode("latin-1")))
    return Reply(200, word, headers)
