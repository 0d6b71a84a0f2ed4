"""Finished answers: a 200 and the 304 of the same thing, as they go out, beside what proves them still true.

Both were made by the policy (`serving/`) that answers everything else; nothing is decided here but which of
the two a request gets, by the same comparison (`is_not_modified`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from services.gateway.hits.gate import Pass
from services.gateway.hits.l1 import L1Cache
from services.gateway.http.responses import HeaderList, finished
from services.gateway.ledger.entries import Entry
from services.gateway.serving.index_reply import remaining_life
from services.gateway.serving.ports import Reply
from shared.redis import clock

IsThere = Callable[[], bool]
"""Whether the file behind a reply is still there, whole: one look into the kernel's memory."""

Life = tuple[float, float]
"""When a page was fetched and until when it is fresh, in unix seconds."""

MadeOf = tuple[tuple[str, object], ...]


class About(NamedTuple):
    """What the log, the gate, the ledger and who forgets a view want to know of an answer."""

    protocol: str
    logged_path: str
    view: str  # of the request: "" without one
    of: Pass
    entry: Entry | None = None  # of a file's 200, where there is a ledger


class Answer:
    """One answer. It lacks the request's id, and of a page the remaining life."""

    __slots__ = (
        "_at",
        "_fetched_at",
        "_fresh_until",
        "_headers",
        "_life",
        "about",
        "body",
        "path",
        "size",
        "status",
    )

    def __init__(self, reply: Reply, about: About, life: Life | None = None) -> None:
        body = reply.body
        self.status = reply.status
        self.about = about
        self.path = ""  # sent by the server from there, or
        self.body = b""
        self.size = 0
        if isinstance(body, (bytes, memoryview)):
            self.body = bytes(body)  # granian takes 107 µs longer over a memoryview of 14 kB
            self.size = len(self.body)
        elif body is not None:
            self.path = body.path
            self.size = int(header_of(reply, b"content-length"))
        self._headers = finished(reply)
        self._at = -1  # the place of Cache-Control where that changes
        self._life = -1
        self._fetched_at, self._fresh_until = life or (0.0, 0.0)
        if life is not None:
            self._at = next(n for n, pair in enumerate(self._headers) if pair[0] == b"cache-control")

    def headers_at(self, now: float) -> HeaderList:
        """The headers as of now: a page's remaining life is in them."""
        if self._at < 0:
            return self._headers
        life = remaining_life(self._fetched_at, self._fresh_until, now)
        if life != self._life:
            self._life = life
            self._headers[self._at] = (b"cache-control", b"max-age=%d" % life)
        return self._headers


class Kept:
    """The two answers for one request line. `whole` None: only the 304 is known so far."""

    __slots__ = ("etag", "is_there", "modified", "revalidates", "unchanged", "until", "view", "whole")

    def __init__(
        self,
        whole: Reply | None,
        unchanged: Reply,
        about: About,
        is_there: IsThere | None,
        life: Life | None = None,
    ) -> None:
        """`is_there` None: the body is in memory, and nowhere else."""
        self.whole = None if whole is None else Answer(whole, about, life)
        self.unchanged = Answer(unchanged, about, life)
        self.is_there = is_there
        self.view = about.view
        self.until = math.inf  # unix seconds: no longer is it found
        self.etag = header_of(unchanged, b"etag").decode("latin-1")
        self.modified = header_of(unchanged, b"last-modified")
        self.revalidates = False  # whether a client's no-cache counts

    def stands(self, l1: L1Cache, now: float) -> bool:
        """Whether both were made of what holds now."""
        raise NotImplementedError


class KeptPage(Kept):
    """Of an index. `made_of`: the keys and values of the L1 that it was made of."""

    __slots__ = ("_fetched_at", "_fresh_until", "_made_of")

    def __init__(
        self,
        whole: Reply | None,
        unchanged: Reply,
        about: About,
        is_there: IsThere | None,
        life: Life,
        made_of: MadeOf,
    ) -> None:
        super().__init__(whole, unchanged, about, is_there, life)
        self._made_of = made_of
        self._fetched_at, self._fresh_until = life

    def stands(self, l1: L1Cache, now: float) -> bool:
        """See `Kept`."""
        return clock.is_fresh(now, self._fetched_at, self._fresh_until) and l1.still(self._made_of)


class KeptFile(Kept):
    """Of a sealed file, which never changes: right even while the L1 is not connected. `key`, `value`: its
    facts in the L1. `end`: unix seconds at which it is judged anew; 0: never."""

    __slots__ = ("_end", "_key", "_value")

    def __init__(
        self,
        whole: Reply | None,
        unchanged: Reply,
        about: About,
        is_there: IsThere | None,
        key: str,
        value: bytes,
        end: float,
    ) -> None:
        super().__init__(whole, unchanged, about, is_there)
        self._key = key
        self._value = value
        self._end = end

    def stands(self, l1: L1Cache, now: float) -> bool:
        """See `Kept`."""
        return l1.peek(self._key) is self._value and not 0.0 < self._end <= now


class KeptSealed(Kept):
    """Of a sealed build, or of a lock as one, which is what it is for ever. `life`: of a page, as its headers
    tell it; `facts`: of a file that rules were asked about, its key and value in the L1, and until when that
    counts (unix seconds; 0: for ever)."""

    __slots__ = ("_end", "_facts", "_is_known")

    def __init__(
        self,
        whole: Reply | None,
        unchanged: Reply,
        about: About,
        is_there: IsThere | None,
        is_known: Callable[[], bool],
        *,
        life: Life | None,
        facts: tuple[str, bytes] | None,
        end: float,
    ) -> None:
        """`is_known`: whether the build is still known to be there."""
        super().__init__(whole, unchanged, about, is_there, life)
        self._is_known = is_known
        self._facts = facts
        self._end = end if life is None else life[1]

    def stands(self, l1: L1Cache, now: float) -> bool:
        """See `Kept`."""
        facts = self._facts
        if 0.0 < self._end <= now or (facts is not None and l1.peek(facts[0]) is not facts[1]):
            return False
        return self._is_known()


def header_of(reply: Reply, name: bytes) -> bytes:
    """A reply's header; b"" if it has none of this name."""
    return next((value for each, value in reply.headers if each == name), b"")
