"""Pages and files that are hot: the finished response, kept beside the memory that proves it true.

Each use asks the L1 whether head, body and source revision (of a file: its facts) are still the very
values that the response was made of, so an invalidation works here as it does there. Policy is not
repeated: only replies that `served_now` and `serve_sealed` gave are kept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from services.gateway.gate import Pass
from services.gateway.l1 import L1Cache
from services.gateway.responses import SECURITY_HEADERS
from shared.cache_keys import Category, cache_key, index_keys
from shared.protocols.conditions import wants_revalidation
from shared.protocols.index_reply import SKEW_SECONDS
from shared.protocols.ports import IndexEntry, Reply
from shared.protocols.resource import Resource

Key = tuple[str, bytes, bytes, bytes | None, bytes | None]
HeaderList = list[tuple[bytes, bytes]]

MOST_PAGES = 8192
LARGEST_BODY = 256 * 1024
LONGEST_KEY = 1024  # bytes of path and headers: strangers choose them, and each spelling is kept apart
IsThere = Callable[[], bool]
"""Whether the file behind a reply is still there, whole: one look into the kernel's memory."""

_CONDITIONAL = (b"range", b"if-none-match", b"if-modified-since", b"via")


class HotPage:
    """One finished 200. `headers` lacks only the request id."""

    __slots__ = (
        "_static",
        "body",
        "etag",
        "fresh_from",
        "fresh_until",
        "headers",
        "host",
        "keys",
        "logged_path",
        "path",
        "protocol",
        "revalidates",
        "scheme",
        "second",
        "size",
        "values",
    )

    def __init__(
        self,
        keys: tuple[str, str, str],
        values: tuple[Any, Any, Any],
        reply: Reply,
        life: tuple[float, float],
        protocol: str,
        logged_path: str,
    ) -> None:
        assert isinstance(reply.body, (bytes, memoryview))
        # The only Host and believed scheme that it answers, where bodies hold absolute URLs.
        self.host: bytes | None = None
        self.scheme: bytes | None = None
        self.revalidates = True  # whether a client's no-cache is heeded: not Maven's, which always says it
        self.keys = keys
        self.values = values
        self.body = bytes(reply.body)  # granian takes 107 µs longer over a memoryview of 14 kB
        self.size = len(reply.body)
        self.path = ""
        fetched_at, self.fresh_until = life  # unix seconds
        self.fresh_from = fetched_at - SKEW_SECONDS  # see `judge`
        self.protocol = protocol
        self.logged_path = logged_path
        self.etag = next(value for name, value in reply.headers if name == b"etag")
        self._static: HeaderList = [
            *(header for header in reply.headers if header[0] != b"cache-control"),
            *SECURITY_HEADERS,
            (b"x-cache", b"HIT"),
        ]
        self.second = 0
        self.headers: HeaderList = []

    def headers_at(self, second: int) -> HeaderList:
        """The headers as of a second: the remaining life is in them."""
        if second != self.second:
            life = max(0, int(self.fresh_until) - second)
            self.headers = [*self._static, (b"cache-control", b"max-age=%d" % life)]
            self.second = second
        return self.headers


class HotFile:
    """One finished 200 of a sealed file; nothing in it changes but the request id."""

    __slots__ = (
        "_headers",
        "body",
        "is_there",
        "key",
        "logged_path",
        "of",
        "path",
        "protocol",
        "size",
        "value",
    )

    def __init__(
        self,
        key: str,
        value: bytes,
        reply: Reply,
        protocol: str,
        logged_path: str,
        is_there: IsThere,
        of: Pass,
    ) -> None:
        assert reply.body is not None
        self.key = key
        self.value = value
        self.is_there = is_there
        self.of = of
        self.path = "" if isinstance(reply.body, (bytes, memoryview)) else reply.body.path  # sent by path, or
        self.body = bytes(reply.body) if isinstance(reply.body, (bytes, memoryview)) else b""
        self.size = next(int(text) for name, text in reply.headers if name == b"content-length")
        self.protocol = protocol
        self.logged_path = logged_path
        self._headers: HeaderList = [*reply.headers, *SECURITY_HEADERS, (b"x-cache", b"HIT")]

    def headers_at(self, second: int) -> HeaderList:
        """The headers, whatever the second."""
        return self._headers


class HotPages:
    """Bounded by count and by bytes; when full, all is forgotten and the hottest come back first."""

    def __init__(self, l1: L1Cache, *, max_bytes: int) -> None:
        self._l1 = l1
        self._max_bytes = max_bytes
        self._pages: dict[Key, HotPage | HotFile] = {}
        self._bytes = 0

    def find(self, key: Key, headers: dict[bytes, bytes], now: float) -> HotPage | HotFile | None:
        """The response if it may be served as it is; None sends the request the general way."""
        page = self._pages.get(key)
        if page is None:
            return None
        if isinstance(page, HotFile):
            return self._find_file(key, page, headers)
        if (
            b"if-none-match" in headers
            or b"via" in headers
            or (
                page.host is not None
                and (headers.get(b"host") != page.host or headers.get(b"x-forwarded-proto") != page.scheme)
            )
            or (
                page.revalidates
                and b"cache-control" in headers
                and wants_revalidation(headers[b"cache-control"])
            )
        ):
            return None
        l1 = self._l1
        revision_key, head_key, variant_key = page.keys
        revision, head, body = page.values
        if (
            page.fresh_from <= now < page.fresh_until
            and l1.connected
            and l1.peek(head_key) is head
            and l1.peek(variant_key) is body
            and l1.peek(revision_key) is revision
            and (revision is not None or l1.holds(revision_key))
        ):
            return page
        self._forget(key, page)
        return None

    def _find_file(self, key: Key, file: HotFile, headers: dict[bytes, bytes]) -> HotFile | None:
        if any(name in headers for name in _CONDITIONAL):
            return None
        # A sealed file never changes, so memory is right even while the L1 is not connected.
        # A lost object is not hidden by our memory of it: the general way repairs it.
        if self._l1.peek(file.key) is file.value and file.is_there():
            return file
        self._forget(key, file)
        return None

    def _forget(self, key: Key, page: HotPage | HotFile) -> None:
        del self._pages[key]
        self._bytes -= len(page.body)

    def clear(self) -> None:
        """Forget all."""
        self._pages.clear()
        self._bytes = 0

    def keep(
        self,
        key: Key,
        resource: Resource,
        variant: str,
        entry: IndexEntry,
        reply: Reply,
        logged_path: str,
        *,
        host: bytes | None = None,
        scheme: bytes | None = None,
    ) -> None:
        """Keep a plain hit. Call it in the same turn of the loop in which `entry` was peeked. `host` and
        `scheme` (a proxy's): those of the request, for bodies that hold absolute URLs."""
        body = reply.body
        if reply.status != 200 or not isinstance(body, (bytes, memoryview)) or len(body) > LARGEST_BODY:
            return
        keys = index_keys(resource.protocol, resource.identity, variant)
        revision, head, value = (self._l1.peek(name) for name in keys)
        if head is None or value is None or entry.head is None:
            return
        life = entry.head.fetched_at, entry.head.fresh_until
        page = HotPage(keys, (revision, head, value), reply, life, resource.protocol, logged_path)
        page.revalidates = resource.honours_no_cache
        page.host, page.scheme = host, scheme
        self._put(key, page)

    def keep_file(
        self,
        key: Key,
        resource: Resource,
        identity: str,
        reply: Reply,
        logged_path: str,
        is_there: IsThere | None,
        of: Pass,
    ) -> None:
        """Keep a plain hit of a local file: its bytes if it is small, else its path. Facts that changed
        since cannot differ in the file's bytes: its name is sealed."""
        body = reply.body
        if reply.status != 200 or body is None or is_there is None:
            return
        if isinstance(body, (bytes, memoryview)):
            if not body or len(body) > LARGEST_BODY:
                return
        elif not body.path:
            return
        name = cache_key(Category.ARTIFACT_METADATA, resource.protocol, identity)
        value = self._l1.peek(name)
        if value is not None:
            self._put(key, HotFile(name, value, reply, resource.protocol, logged_path, is_there, of))

    def _put(self, key: Key, page: HotPage | HotFile) -> None:
        if sum(len(part) for part in key if part) > LONGEST_KEY:
            return
        if len(self._pages) >= MOST_PAGES or self._bytes + len(page.body) > self._max_bytes:
            self._pages.clear()
            self._bytes = 0
        old = self._pages.get(key)
        self._bytes += len(page.body) - (len(old.body) if old is not None else 0)
        self._pages[key] = page
