"""Hits from this process's memory: what needs no job, no store and, of a page, no waiting at all.

Policy is not here: `served_now` and `serve_sealed` say what may go out. Where the next request for it can
have it, what they gave is kept as the finished response (`finished.py`), with its 304, beside the memory that
proves it true: each use asks the L1 whether head, body and source revision (of a file: its facts) are still
the very values that the response was made of, so an invalidation works here as it does there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import msgspec

from services.gateway.hits.finished import (
    About,
    Answer,
    IsThere,
    Kept,
    KeptFile,
    KeptPage,
    KeptSealed,
    header_of,
)
from services.gateway.hits.gate import Gate
from services.gateway.hits.l1 import L1Cache
from services.gateway.hits.stored_objects import StoredObjects
from services.gateway.http.base_urls import MAX_KEPT
from services.gateway.http.requests import Headers, Key, Target, size_of
from services.gateway.ledger.entries import entry_of_reply
from services.gateway.serving.artifact_flow import serve_sealed
from services.gateway.serving.index_reply import counterpart, current_until, served_now, variants_of
from services.gateway.serving.ports import Reply
from services.gateway.serving.views import was_there
from shared.access.watcher import AccessWatcher
from shared.cache.keys import facts_key, head_key, in_view, index_keys
from shared.cache.service import CacheService, IndexRead
from shared.http.conditions import Conditions, is_not_modified, wants_revalidation
from shared.http.via import may_loop
from shared.models import FileName
from shared.objects.port import artifact_key
from shared.policy.content import end_of
from shared.process.bounded import Bounded
from shared.protocols.reading.views import BUILD, view_named
from shared.protocols.resource import Resource
from shared.redis import clock

MOST_PAGES = 8192
LARGEST_BODY = 256 * 1024
IN_BUILD_SECONDS = 5.0  # so long an answer in a build is found: sealed or removed by another gateway it ends
LONGEST_KEY = 1024  # bytes of path and headers: strangers choose them, and each spelling is kept apart

KeepSealed = Callable[[Reply, Reply, FileName | None, Callable[[], bool]], None]
"""Takes a sealed build's answer, its 304, which file it is (None: a page), and what tells whether the build
is still known to be there."""

Address = tuple[bytes, bytes | None]
"""Host and believed scheme of a request, as they came."""


class _ByAddress:
    """What is kept for one request line whose bodies hold absolute URLs: for a few addresses; the oldest
    goes."""

    __slots__ = ("pages", "view")

    def __init__(self, view: str) -> None:
        self.view = view
        self.pages = Bounded[Address, Kept](MAX_KEPT)

    @property
    def size(self) -> int:
        return sum(_size(self.pages.get(each)) for each in self.pages)


class HotPages:
    """Bounded by count and by bytes; when full, the oldest is forgotten, and comes back if it is hot."""

    def __init__(self, l1: L1Cache, *, max_bytes: int, own_name: Callable[[], str]) -> None:
        """`own_name` as for `RequestReader`."""
        self._l1 = l1
        self._own_name = own_name
        self._kept = Bounded[Key, Kept | _ByAddress](MOST_PAGES, max_weight=max_bytes)
        self._held: dict[Key, tuple[Kept, Address | None]] = {}  # not to be found before it is recorded

    def find(self, key: Key, headers: Headers, now: float) -> Answer | None:
        """The response if it may be served as it is; None: the request takes the normal path."""
        kept = self._kept.get(key)
        if kept is None:
            return None
        if isinstance(kept, _ByAddress):
            kept = kept.pages.get(_address(headers))
            if kept is None:
                return None
        if b"via" in headers and may_loop(headers[b"via"], self._own_name()):
            return None
        if kept.revalidates and b"cache-control" in headers and wants_revalidation(headers[b"cache-control"]):
            return None
        answer = kept.whole
        if b"if-none-match" in headers or b"if-modified-since" in headers:
            tags, date = headers.get(b"if-none-match", b""), headers.get(b"if-modified-since", b"")
            if is_not_modified(tags, date, kept.etag, kept.modified):
                answer = kept.unchanged
        whole = answer is not kept.unchanged
        if answer is None or (whole and b"range" in headers):
            return None
        # A lost object is not hidden by our memory of it: the normal path repairs it.
        if (
            now < kept.until
            and kept.stands(self._l1, now)
            and (not whole or kept.is_there is None or kept.is_there())
        ):
            return answer
        self._kept.pop(key)
        return None

    def clear(self) -> None:
        """Forget all."""
        self._kept.clear()
        self._held.clear()

    def forget(self, view: str) -> None:
        """Forget all of a view."""
        for key in list(self._kept):
            kept = self._kept.get(key)
            if kept is not None and kept.view == view:
                self._kept.pop(key)

    @contextlib.contextmanager
    def once_recorded(self, key: Key) -> Iterator[None]:
        """Around the answer to a request in a build: what was kept of it is found when it is recorded, and
        forgotten where that fails."""
        try:
            yield
        except BaseException:
            self._held.pop(key, None)
            raise
        held = self._held.pop(key, None)
        if held is not None:
            held[0].until = clock.now() + IN_BUILD_SECONDS
            self._put(key, *held)

    def keep(self, key: Key, kept: Kept, address: Address | None = None) -> None:
        """Store a plain hit. Call it in the same turn of the loop in which what it was made of stood in the
        L1. `address`: the request's, for bodies that hold absolute URLs. In a build: found
        `once_recorded`."""
        if kept.view.startswith(BUILD):
            self._held[key] = kept, address
        else:
            self._put(key, kept, address)

    def _put(self, key: Key, kept: Kept, address: Address | None) -> None:
        if size_of(key) + len(address[0] if address else b"") > LONGEST_KEY:
            return
        found = self._kept.get(key)
        if address is None:
            if kept.whole is not None or found is None:  # a 304 alone takes no place from more
                self._kept.put(key, kept, _size(kept))
            return
        several = found if isinstance(found, _ByAddress) else _ByAddress(kept.view)
        if kept.whole is None and address in several.pages:
            return
        several.pages.put(address, kept)
        self._kept.put(key, several, several.size)


class MemoryHits:
    """Answers from the L1 and the local object store of one gateway."""

    def __init__(
        self,
        cache: CacheService,
        l1: L1Cache,
        hot: HotPages,
        objects: StoredObjects,
        gate: Gate,
        access: AccessWatcher,
        *,
        stale_limit: float,
        ledger: bool,
    ) -> None:
        """`ledger`: whether servings are noted."""
        self._ledger = ledger
        self._cache = cache
        self._l1 = l1
        self._hot = hot
        self._objects = objects
        self._gate = gate
        self._access = access
        self._stale_limit = stale_limit

    async def page(
        self, key: Key, target: Target, resource: Resource, conditions: Conditions, headers: Headers
    ) -> Reply | None:
        """The reply with a fresh page that was rendered under the current policy; None for all else. Waits
        for a body that lies in the object store, and for nothing else. Raises `StoreUnavailable`."""
        variants = target.variants or variants_of(resource, conditions)
        now, limit = clock.now(), self._stale_limit
        policy = self._access.policy
        entry = self._peek(resource, variants, now)
        if entry is None or entry.head is None:
            return None
        found = served_now(resource, conditions, entry, now=now, stale_limit=limit)
        if found is None:
            return None
        reply, stored = found
        shown = in_view(resource.view, resource.identity)
        keys = list(index_keys(resource.protocol, shown, entry.variant))
        if resource.view:
            keys.append(head_key(resource.protocol, resource.identity))
        made_of = tuple((name, self._l1.peek(name)) for name in keys)
        is_there: IsThere | None = None
        if stored is not None:
            reply.body = await self._objects.open(
                stored.object_key, stored.start, stored.length, size_bytes=stored.size_bytes
            )
            if reply.body is None:
                return None
            is_there = self._objects.watch(stored.object_key, stored.size_bytes)
            if self._access.policy is not policy or not self._l1.still(made_of):
                return reply
        if conditions.head or reply.status not in (200, 304):
            return reply
        again = msgspec.structs.replace(conditions, if_none_match=header_of(reply, b"etag"))
        unchanged = served_now(resource, again, entry, now=now, stale_limit=limit)
        if unchanged is not None:
            whole = reply if _fits(reply) and (stored is None or is_there is not None) else None
            head = entry.head
            life = head.fetched_at, current_until(head)
            about = About(
                resource.protocol,
                target.logged_path,
                _view_of(target),
                self._gate.pass_of(target.protocol, resource, reply),
            )
            kept = KeptPage(whole, unchanged[0], about, is_there, life, made_of)
            kept.revalidates = resource.honours_no_cache
            self._hot.keep(key, kept, _address(headers) if resource.per_base_url else None)
        return reply

    def _peek(self, resource: Resource, variants: tuple[str, ...], now: float) -> IndexRead | None:
        """The page as memory has it, made under the current policy; None where it has not all of it."""
        protocol, identity = resource.protocol, resource.identity
        verdicts = self._access.policy.of(protocol, resource.project)
        shown = self._cache.peek_index(protocol, in_view(resource.view, identity), *variants)
        if shown is None or not resource.view:
            stands = shown is not None and shown.head is not None and verdicts.stands(shown.head, now)
            return shown if stands else None
        plain = self._cache.peek_index(protocol, identity)
        if plain is None:
            return None
        return counterpart(plain, shown, verdicts.seen_from(view_named(resource.view).moment), now)

    async def file(
        self, key: Key, target: Target, resource: Resource, conditions: Conditions
    ) -> Reply | None:
        """The reply with a stored file whose facts are known; None where they are not, its age is not, or its
        object is missing. Raises what `serve_sealed` raises, `Blocked` and `TooYoung`."""
        facts = self._cache.peek_facts(resource.file)
        if facts is None:
            return None
        policy = self._access.policy
        if resource.view and not was_there(resource, facts.published, facts.created_at):
            return None
        if not self._gate.admits(resource, facts):
            return None
        reply = await serve_sealed(resource, conditions, facts, self._objects)
        if reply is None or conditions.head or reply.status not in (200, 304):
            return reply
        again = msgspec.structs.replace(conditions, if_none_match=header_of(reply, b"etag"))
        unchanged = await serve_sealed(resource, again, facts, self._objects)  # a 304 waits for nothing
        name = facts_key(resource.file)
        value = self._l1.peek(name)
        # A change of the policy has emptied the hot pages: this reply must not be stored there again.
        if unchanged is not None and value is not None and self._access.policy is policy:
            is_there = None
            if not resource.sidecar:  # which is made of the facts alone
                is_there = self._objects.watch(facts.object_key, facts.size_bytes)
            whole = reply if _fits(reply) and (resource.sidecar or is_there is not None) else None
            about = About(
                resource.protocol,
                target.logged_path,
                _view_of(target),
                self._gate.pass_of(target.protocol, resource, reply),
                entry_of_reply(target.protocol, resource, reply, 200) if self._ledger else None,
            )
            end = end_of(facts.judged)
            self._hot.keep(key, KeptFile(whole, unchanged, about, is_there, name, value, end))
        return reply

    def keeper(self, key: Key, target: Target, headers: Headers) -> KeepSealed:
        """Keeps the answers of a sealed build, under the policy of now: one of a later policy is not kept."""
        policy = self._access.policy

        def keep(reply: Reply, unchanged: Reply, file: FileName | None, is_known: Callable[[], bool]) -> None:
            resource = target.resource
            assert isinstance(resource, Resource)
            name = facts_key(file) if file is not None and policy.any else ""
            value = self._l1.peek(name) if name else None
            if self._access.policy is not policy or (name and value is None):
                return
            whole, is_there = (reply if _fits(reply) else None), None
            if whole is not None and not resource.sidecar:
                is_there = self._objects.watch(*_object_of(whole))
                whole = whole if is_there is not None else None
            entry = None
            if file is not None and self._ledger:
                entry = entry_of_reply(target.protocol, resource, reply, 200)
            passes = self._gate.pass_of(target.protocol, resource, reply)
            about = About(resource.protocol, target.logged_path, resource.view, passes, entry)
            head = None if reply.page is None else reply.page.head
            life = None if head is None else (head.fetched_at, current_until(head))
            facts = None if value is None else (name, value)
            kept = KeptSealed(
                whole,
                unchanged,
                about,
                is_there,
                is_known,
                life=life,
                facts=facts,
                end=end_of(reply.file.judged),
            )
            self._hot.keep(key, kept, _address(headers) if resource.per_base_url else None)

        return keep


def _view_of(target: Target) -> str:
    """Of the request itself: what an open build asks for has the build's own moment, or none."""
    return target.resource.view if isinstance(target.resource, Resource) else ""


def _object_of(reply: Reply) -> tuple[str, int]:
    """Key and bytes of the object that a 200 is the whole of."""
    page = reply.page
    if page is None or page.head is None:
        return artifact_key(reply.file.sha256), int(header_of(reply, b"content-length"))
    info = page.head.variants[page.variant]
    return info.object_key, info.size_bytes


def _fits(reply: Reply) -> bool:
    """Whether the body of a 200 can be sent again: it is in memory, and not too large for that, or has a
    path."""
    body = reply.body
    if reply.status != 200 or body is None:
        return False
    return 0 < len(body) <= LARGEST_BODY if isinstance(body, (bytes, memoryview)) else bool(body.path)


def _address(headers: Headers) -> Address:
    return headers.get(b"host", b""), headers.get(b"x-forwarded-proto")


def _size(kept: Kept | None) -> int:
    """Bytes of a body that is held in memory."""
    return len(kept.whole.body) if kept is not None and kept.whole is not None else 0
