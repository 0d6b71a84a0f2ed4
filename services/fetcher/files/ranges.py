"""Parts of files at upstreams, by range requests (RFC 9110 §14).

The last bytes of a file are asked for by a suffix (`bytes=-N`): one request, whatever the size. Hosts that do
not know suffixes are asked by positions, those that give no parts not at all: for a day that is remembered of
each, in this process. What a part is worth, nobody knows before the whole was hashed.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from typing import Literal

import msgspec

from services.fetcher.files.download import gone_or_strayed
from services.fetcher.files.entries import Found
from services.fetcher.http.response import UpstreamResponse, codings_of
from services.fetcher.sources.patience import silent
from services.fetcher.sources.upstreams import Upstreams
from shared.errors import LastingError, Offline
from shared.errors.passing import UpstreamUnavailable
from shared.process.bounded import Bounded
from shared.sources.urls import origin_text
from shared.telemetry.logs import get_logger

log = get_logger()

REMEMBERED_SECONDS = 24 * 3600.0
MOST_HOSTS = 1024
TRIES = 2  # of a part that was cut
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})", re.IGNORECASE)

Manner = Literal["suffix", "positions", "none"]


class NoRanges(Exception):
    """The host gives no parts of files: the whole is to be downloaded."""


class Contradiction(Exception):
    """Parts of a file do not fit each other, or what was asked: they are not to be believed."""


class Piece(msgspec.Struct, frozen=True):
    """A part of a file, as a host gave it."""

    start: int
    data: bytes
    total: int  # bytes of the whole file, as it says
    validator: str = ""  # a strong ETag; "" for none


class RangeReader:
    """Asks for parts, each host as it likes it."""

    def __init__(self, upstreams: Upstreams, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._upstreams = upstreams
        self._monotonic = monotonic
        self._manners = Bounded[tuple[int, str], tuple[Manner, float]](MOST_HOSTS)

    async def end(self, found: Found, count: int) -> Piece:
        """The last `count` bytes of a file, or all of a shorter one.

        Raises `NoRanges`, `GoneUpstream` for a true 404, `Contradiction`, and passing errors.
        """
        if self._manner(found) == "suffix":
            piece = await self._by_suffix(found, count)
            if piece is not None:
                return piece
        if self._manner(found) == "none":
            raise NoRanges
        total = found.entry.size_bytes
        if total is None:
            total = (await self._ask(found, "bytes=0-0", 1)).total
        start = max(0, total - count)
        return await self.part(found, start, total, total=total)

    async def part(
        self, found: Found, start: int, end: int, *, total: int, validator: str = "", again: bool = False
    ) -> Piece:
        """Bytes `start` to `end` of a file of `total` bytes. `validator`: an earlier part's; `again`: one was
        asked for in this run. Raises as `end` does."""
        if self._manner(found) == "none" or end <= start:
            raise NoRanges
        piece = await self._ask(found, f"bytes={start}-{end - 1}", end - start, again=again)
        if piece.total != total or (validator and piece.validator and piece.validator != validator):
            raise Contradiction(f"the file has {piece.total} bytes in one answer and {total} in another")
        if piece.start != start or len(piece.data) != end - start:
            self._remember(found, "none")
            raise NoRanges
        return piece

    async def _by_suffix(self, found: Found, count: int) -> Piece | None:
        """None: the host does not know suffixes, and is asked by positions from now on."""
        try:
            piece = await self._ask(found, f"bytes=-{count}", count, suffix=True)
        except NoRanges:
            return None
        if piece.start == max(0, piece.total - count) and piece.start + len(piece.data) == piece.total:
            return piece
        self._remember(found, "positions")  # some take it for the first bytes
        return None

    async def _ask(
        self, found: Found, wanted: str, most: int, *, suffix: bool = False, again: bool = False
    ) -> Piece:
        """One part, at most `most` bytes. Of a host that gives none that is remembered."""
        for left in reversed(range(TRIES)):
            try:
                return await self._ask_once(found, wanted, most, again=again or left < TRIES - 1)
            except UpstreamUnavailable as error:
                if error.asked_to_wait or error.about_host or not left:
                    raise
            except Offline:
                raise
            except (NoRanges, LastingError) as error:
                # 501 and 400 for a suffix alone; any refusal of the rest is the whole's to explain.
                if isinstance(error, NoRanges) or suffix:
                    self._remember(found, "positions" if suffix else "none")
                raise NoRanges from error
        raise AssertionError("the last try returns or raises")

    async def _ask_once(self, found: Found, wanted: str, most: int, *, again: bool) -> Piece:
        seconds = self._upstreams.head_seconds(found.source, page=True)
        headers = {"range": wanted}
        try:
            async with (
                asyncio.timeout(seconds),
                self._upstreams.open_file(
                    found.source, found.entry.url, headers=headers, lane="index", again=again
                ) as response,
            ):
                return await self._piece(found, response, most)
        except TimeoutError:
            raise silent(found.source, seconds) from None

    async def _piece(self, found: Found, response: UpstreamResponse, most: int) -> Piece:
        if response.status in (404, 410):
            raise gone_or_strayed(found.source, found.entry, response)
        etag = response.headers.get("etag", "")
        validator = etag if etag.startswith('"') else ""
        length = response.content_length
        coded = codings_of(response.headers.get("content-encoding", ""))
        if response.status == 200 and not coded and length is not None and length <= most:
            return Piece(0, await _read(response, length, found), length, validator)  # all of a small file
        told = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", "").strip())
        if response.status != 206 or coded or told is None:
            log.info("no_ranges", source=found.source.name, status=response.status)
            raise NoRanges
        first, last, total = (int(each) for each in told.groups())
        if not first <= last < total or last - first >= most or length not in (None, last - first + 1):
            raise NoRanges
        return Piece(first, await _read(response, last - first + 1, found), total, validator)

    def _manner(self, found: Found) -> Manner:
        known = self._manners.get(_host(found))
        return known[0] if known is not None and known[1] > self._monotonic() else "suffix"

    def _remember(self, found: Found, manner: Manner) -> None:
        self._manners.put(_host(found), (manner, self._monotonic() + REMEMBERED_SECONDS))


def _host(found: Found) -> tuple[int, str]:
    return found.source.id, origin_text(found.entry.url)


async def _read(response: UpstreamResponse, length: int, found: Found) -> bytes:
    """A body of exactly so many bytes. Raises `Contradiction` for more, `UpstreamUnavailable` for less."""
    pieces, received = [], 0
    async for piece in response.chunks():
        received += len(piece)
        if received > length:
            raise Contradiction("more bytes came than were announced")
        pieces.append(piece)
    if received < length:
        raise UpstreamUnavailable(f"upstream {found.source.name}: a part of {found.entry.filename} was cut")
    return b"".join(pieces)
