"""Pure functions: whether a cached index may be served, and the reply made from it."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from services.gateway.serving.pieces import cut
from services.gateway.serving.ports import CacheWord, IndexEntry, Reply
from services.gateway.serving.rebasing import rebased_etag
from services.gateway.serving.surrogate_keys import page_names
from shared.cache.keys import coding_of, variant_name
from shared.cache.service import IndexRead
from shared.errors import RefusedByPolicy
from shared.http.conditions import Conditions, is_not_modified
from shared.models import IndexHead
from shared.policy.project import ProjectVerdicts
from shared.protocols.resource import Resource
from shared.redis.clock import is_fresh

STALE_MAX_AGE_SECONDS = 5
"""How long a client may keep a page that is being refreshed: short, so that it sees the refresh."""

_HTTP_DATE = re.compile(r"[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT", re.ASCII)


class Stored(msgspec.Struct, frozen=True):
    """A body that lies in the object store: of `size_bytes`, so many from `start`."""

    object_key: str
    size_bytes: int
    start: int
    length: int


Verdict = Literal["fresh", "negative", "expired", "failing", "unsure", "miss"]


def variants_of(resource: Resource, conditions: Conditions) -> tuple[str, ...]:
    """The names of the finished bodies that a request can be answered with, the best first."""
    base_url = conditions.base_url if resource.per_base_url else ""
    return tuple(variant_name(resource.representation, coding, base_url) for coding in conditions.codings)


def judge(entry: IndexEntry, now: float, *, stale_limit: float) -> Verdict:
    """Whether a cached index may be served. fresh, negative: answer from it. expired: ask upstream, wait a
    little. failing: stale at once. unsure: it cannot be known whether it is current, stale at once. miss:
    nothing that may be served.
    """
    head = entry.head
    if head is None or not head.is_made_of(entry.revision):
        return "miss"
    fresh = is_fresh(now, head.fetched_at, head.fresh_until)
    if head.status == 404:
        return "negative" if fresh else "miss"
    if head.status != 200:
        return "miss"
    limit = stale_limit if head.stale_seconds < 0 else head.stale_seconds
    if limit and now - head.fresh_until > limit:
        return "miss"
    if not entry.verified:
        return "unsure"
    if head.failing:
        return "failing"
    return "fresh" if fresh else "expired"


def served_now(
    resource: Resource,
    conditions: Conditions,
    entry: IndexEntry,
    *,
    now: float,
    stale_limit: float,
) -> tuple[Reply, Stored | None] | None:
    """The reply of a plain hit, as `index_reply` makes it, without any waiting; None for all else.

    The gateway's hot path calls this with what its in-process cache holds.
    """
    if (conditions.no_cache and resource.honours_no_cache) or conditions.shown_url:
        return None
    if judge(entry, now, stale_limit=stale_limit) != "fresh":
        return None
    return index_reply(resource, conditions, entry, "HIT", now)


def index_reply(
    resource: Resource, conditions: Conditions, entry: IndexEntry, word: CacheWord, now: float
) -> tuple[Reply, Stored | None] | None:
    """The reply made of an index as it was read: the one place where pages are answered.

    Beside it what its body is of the object store, if it lies there. None: the page lacks the variant. Raises
    `RefusedByPolicy` for one whose name a rule refuses.
    """
    head = entry.head
    if head is not None and head.refused:
        raise RefusedByPolicy(head.refused)
    info = head.variants.get(entry.variant) if head is not None else None
    if head is None or info is None:
        return None
    modified = _modified(head)
    etag = rebased_etag(info.etag, conditions) if conditions.shown_url else info.etag
    headers = _validators(resource, head, etag, modified, word, now)
    if conditions.edge:
        headers.append(page_names(resource))
    if is_not_modified(conditions.if_none_match, conditions.if_modified_since, etag, modified):
        return Reply(304, word, headers, page=entry), None
    headers.append((b"content-type", (resource.content_type or info.content_type).encode("latin-1")))
    coding = coding_of(entry.variant)
    if coding != "identity":
        headers.append((b"content-encoding", coding.encode("latin-1")))
    reply = Reply(200, word, headers, page=entry)
    size, piece = info.size_bytes, None
    if conditions.shown_url:  # it goes out whole: its length is known by then
        piece = None if conditions.head else (0, size)
    else:
        headers.append((b"accept-ranges", b"bytes"))
        reply, piece = cut(reply, conditions, etag=etag, size_bytes=size, what=resource.identity)
    if piece is None:
        return reply, None
    start, length = piece
    if entry.body is None:
        return (reply, Stored(info.object_key, size, start, length)) if info.object_key else None
    reply.body = entry.body if length == size else entry.body[start : start + length]
    return reply, None


def counterpart(plain: IndexRead, shown: IndexRead, verdicts: ProjectVerdicts, now: float) -> IndexRead:
    """A page as a view shows it: the plain one with the bodies of its counterpart, if these were made of the
    document that the plain ones were made of, after them, and under `verdicts`; else with none."""
    head, own = plain.head, shown.head
    if head is None or head.status != 200:
        return plain
    made_of_it = own is not None and own.document_key == head.document_key
    if own is None or not made_of_it or own.counterpart != head.bodies_generation:
        own = None
    if own is None or not verdicts.stands(own, now):
        head = msgspec.structs.replace(head, variants={}, refused="")
        return IndexRead(head, None, plain.revision, plain.verified, shown.variant)
    head = msgspec.structs.replace(
        head,
        variants=own.variants,
        modified=own.modified,
        due=own.due,
        made_at=own.made_at,
        refused=own.refused,
    )
    return IndexRead(head, shown.body, plain.revision, plain.verified and shown.verified, shown.variant)


def remaining_life(fetched_at: float, fresh_until: float, now: float) -> int:
    """Whole seconds until a page expires; 0 when it has. All in unix seconds of the shared clock."""
    return max(0, int(min(fresh_until - now, fresh_until - fetched_at)))


def current_until(head: IndexHead) -> float:
    """Until when a page is what would be served (unix seconds): it expires, or something in it is due."""
    return min(head.fresh_until, head.due) if head.due else head.fresh_until


def _modified(head: IndexHead) -> bytes:
    """The Last-Modified of a page: its source's, b"" where that is no date, or none that stands for it."""
    return head.modified.encode("latin-1") if _HTTP_DATE.fullmatch(head.modified) else b""


def _validators(
    resource: Resource, head: IndexHead, etag: str, modified: bytes, word: CacheWord, now: float
) -> list[tuple[bytes, bytes]]:
    """What a 200 and its 304 have in common (RFC 9110 §15.4.5): ETag, Cache-Control, Vary."""
    life = (
        STALE_MAX_AGE_SECONDS
        if word == "STALE"
        else remaining_life(head.fetched_at, current_until(head), now)
    )
    headers = [
        (b"etag", etag.encode("latin-1")),
        (b"cache-control", b"max-age=%d" % life),
        (b"vary", resource.vary.encode("latin-1")),
    ]
    if modified:  # tools tell ages of releases by it
        headers.append((b"last-modified", modified))
    return headers
