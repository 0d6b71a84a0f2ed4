"""Downloading one file into its spool: resumed when the upstream breaks off, verified at the end."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Callable, Mapping, Sequence

from services.fetcher.files.digests import Digests, check_magic
from services.fetcher.files.spool import Spool
from services.fetcher.files.uncoding import Uncoded
from services.fetcher.http.response import UpstreamResponse, codings_of
from services.fetcher.sources.policy import reading_of
from services.fetcher.sources.upstreams import Upstreams
from shared.errors import DigestMismatch, OrchardError, TooLarge, UpstreamInvalid, UpstreamStrayed
from shared.errors.passing import UpstreamTimeout, UpstreamUnavailable
from shared.http.headers import unix_seconds
from shared.models import FileEntry, SourceHeaders, UpstreamSource
from shared.telemetry.logs import get_logger

log = get_logger()

ROOM_STEP_BYTES = 16 * 1024 * 1024  # of a file of unknown length
MOST_HEADER_CHARACTERS = 1024  # of a header that is kept
RESUMES = 5  # after the first try: as pip does
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")


def source_headers_of(headers: Mapping[str, str], kept: Sequence[str]) -> SourceHeaders:
    """Out of a response; what is long, or more than plain text, is left out."""
    found = {name: headers.get(name, "").strip() for name in kept}
    plain = {name: text for name, text in found.items() if text.isascii() and text.isprintable()}
    return SourceHeaders(
        unix_seconds(headers.get("last-modified", "")),
        {name: text for name, text in plain.items() if 0 < len(text) <= MOST_HEADER_CHARACTERS},
    )


class GoneUpstream(Exception):
    """The upstream answered 404 or 410 for a file that its index named."""


def gone_or_strayed(source: UpstreamSource, entry: FileEntry, response: UpstreamResponse) -> Exception:
    """The error that a 404 means. For a file whose address is derived from its source's, a 404 of another
    host after a redirect (a login page) says nothing about the source."""
    reading = reading_of(source, response.status, entry.url, response.url, page=False)
    if not entry.checksum_urls or reading == "absent":
        return GoneUpstream()
    return UpstreamStrayed(f"upstream {source.name} left it to another place to answer")


class Download:
    """One file on its way.

    `on_head` is called once, with the headers of the first response; `on_trusted` once, when readers may have
    the bytes as they come: never for a `suspicion`.
    """

    def __init__(
        self,
        upstreams: Upstreams,
        source: UpstreamSource,
        entry: FileEntry,
        spool: Spool,
        *,
        promised_sha256: str = "",
        max_bytes: int,
        on_head: Callable[[Mapping[str, str]], None],
        on_trusted: Callable[[SourceHeaders], None] = lambda headers: None,
        kept_digests: Sequence[str] = (),
        kept_headers: Sequence[str] = (),
        magics: tuple[bytes, ...] = (),
        check_room: Callable[[int], None] = lambda wanted: None,
    ) -> None:
        """`magics`: how the file may begin, () where that is not known. `check_room` raises if the disk has
        no room for so many more bytes."""
        self._upstreams = upstreams
        self._source = source
        self._entry = entry
        self._spool = spool
        self._max_bytes = max_bytes
        self._kept_headers = kept_headers
        self._magics = magics
        self._check_room = check_room
        self._room_seen = 0  # bytes of the spool when it was last asked
        self._on_head: Callable[[Mapping[str, str]], None] | None = on_head
        self._on_trusted: Callable[[SourceHeaders], None] | None = on_trusted
        self.suspicion: UpstreamInvalid | None = None
        """What the first bytes look like instead of the file. To be raised, unless a checksum that its source
        publishes beside it vouches for them."""
        self._digests = Digests(entry.hashes, promised_sha256, kept_digests)
        self._validator = ""  # a strong ETag, or a date: what If-Range needs
        self._coded = False  # compressed on the way: its length and ranges are of other bytes than the file's
        self._announced: int | None = None  # bytes, by the last response's head
        self.source_headers = SourceHeaders()  # by the first response
        self._where = f"upstream {source.name}"

    async def run(self) -> str:
        """The SHA256 of the complete, verified file in the spool. Raises `GoneUpstream`, `DigestMismatch`,
        `TooLarge`, `UpstreamInvalid`, or the upstream's passing error.
        """
        failures = 0
        while True:
            before = self._spool.size
            try:
                if await self._attempt(again=failures > 0):
                    break
                error: OrchardError = UpstreamUnavailable(f"{self._where}: {self._entry.filename} was cut")
            except (UpstreamUnavailable, UpstreamTimeout) as failure:
                error = failure
            failures += 1
            nothing_came = self._spool.size == before and before == 0
            if failures > RESUMES or error.asked_to_wait or (nothing_came and failures > 2):
                raise error
            if isinstance(error, UpstreamTimeout) and self._spool.size == before:
                raise error  # silent a second time: the slot is freed
            log.info(
                "download_resumed", filename=self._entry.filename, offset=self._spool.size, tries=failures
            )
            await asyncio.sleep(random.uniform(0.5, 1.5) * 0.1 * failures)
        return self._digests.verify(self._entry.filename)

    @property
    def kept_digests(self) -> dict[str, str]:
        """The further hashes of what has come so far: algorithm → hex."""
        return self._digests.kept()

    async def _attempt(self, *, again: bool) -> bool:
        """One request, from where the spool ends. True when the file is complete."""
        offset = self._spool.size
        headers: dict[str, str] = {}
        resumable = (bool(self._validator) or self._digests.known) and not self._coded
        if offset and resumable:
            headers["range"] = f"bytes={offset}-"
            if self._validator:
                headers["if-range"] = self._validator
        async with self._upstreams.open_file(
            self._source,
            self._entry.url,
            headers=headers,
            expected_bytes=(self._entry.size_bytes or 0) - offset,
            again=again,
        ) as response:
            repeated = self._check_head(response, offset)
            chunks = response.chunks()
            codings = codings_of(response.headers.get("content-encoding", ""))
            if response.status == 200 and codings in (["gzip"], ["x-gzip"]):
                body = Uncoded(chunks, self._entry.filename, self._magics)
                self._coded, chunks = await body.peek(), body.chunks()
            self._expect(None if self._coded else self._announced)
            if self._on_head is not None:
                announce, self._on_head = self._on_head, None
                self.source_headers = source_headers_of(response.headers, self._kept_headers)
                announce(response.headers)
                if self._digests.known:
                    self._trust()
            position = 0 if repeated else offset
            async for chunk in chunks:
                if position < offset:
                    chunk, position = self._skip_known(chunk, position, offset), position + len(chunk)
                    if not chunk:
                        continue
                self._take(chunk)
                position = self._spool.size
            total = self._spool.total
            if total is None and not self._coded and not response.delimited and not self._digests.known:
                # RFC 9112 §8: without a length a cut looks like the end
                raise UpstreamInvalid(f"{self._where} sent {self._entry.filename} without length or hash")
            if total is None:
                self._spool.total = total = self._spool.size
            return self._spool.size == total

    def _check_head(self, response: UpstreamResponse, offset: int) -> bool:
        """Check the status line and headers. True: the body starts at byte 0 although a part is in the
        spool."""
        status = response.status
        if status in (404, 410):
            raise gone_or_strayed(self._source, self._entry, response)
        codings = codings_of(response.headers.get("content-encoding", ""))
        if not self._digests.known and not {"gzip", "x-gzip"}.issuperset(codings):
            raise UpstreamInvalid(f"{self._where} encoded {self._entry.filename} although not asked to")
        total = response.content_length
        if status == 206:
            found = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", "").strip())
            if not offset or found is None or int(found[1]) != offset:
                raise UpstreamInvalid(f"{self._where} sent another part of {self._entry.filename} than asked")
            total = int(found[3]) if found[3] != "*" else None
        elif status == 416:
            raise UpstreamInvalid(f"{self._where} has less of {self._entry.filename} than it sent before")
        elif status != 200:
            raise UpstreamInvalid(f"{self._where} answered {status} to a plain request")
        self._announced = total
        if not offset:
            etag = response.headers.get("etag", "")
            strong = etag.startswith('"')
            self._validator = etag if strong else response.headers.get("last-modified", "")
        return status == 200 and offset > 0

    def _expect(self, total: int | None) -> None:
        promised = self._entry.size_bytes
        if total is None:
            total = self._spool.total  # as an earlier response said; the index alone proves no end
        if total is not None:
            if total > self._max_bytes:
                raise TooLarge(f"{self._where}: {self._entry.filename} has {total} bytes")
            # A digest tells the bytes apart; a length that an index made up is no reason to refuse them.
            if promised is not None and total != promised and not self._digests.known:
                raise DigestMismatch(f"{self._entry.filename}: {total} bytes, the index says {promised}")
            if self._spool.total is not None and total != self._spool.total:
                raise DigestMismatch(f"{self._entry.filename}: changed at the upstream while it was fetched")
        self._spool.total = total if total is not None else promised
        self._check_room((self._spool.total or 0) - self._spool.size)

    def _skip_known(self, chunk: bytes, position: int, offset: int) -> bytes:
        """Of a body sent again from its start: compare the bytes that the spool has, return the rest."""
        known = chunk[: offset - position]
        if self._spool.read(position, len(known)) != known:
            raise DigestMismatch(f"{self._entry.filename}: changed at the upstream while it was fetched")
        return chunk[len(known) :]

    def _take(self, chunk: bytes) -> None:
        size = self._spool.size + len(chunk)
        if size > self._max_bytes:
            raise TooLarge(f"{self._where}: {self._entry.filename} has more than {self._max_bytes} bytes")
        if self._spool.total is not None and size > self._spool.total:
            raise DigestMismatch(f"{self._entry.filename}: more bytes came than were announced")
        if not self._spool.size and not self._digests.known:
            self._judge(chunk)
        if self._spool.total is None and size - self._room_seen > ROOM_STEP_BYTES:
            self._room_seen = size
            self._check_room(len(chunk))
        self._digests.update(chunk)
        self._spool.append(chunk)

    def _judge(self, start: bytes) -> None:
        """Check the first bytes of a file without any hash. Raises `UpstreamInvalid` where nothing else can
        verify them."""
        try:
            check_magic(self._entry.filename, self._magics, start)
        except UpstreamInvalid as suspicion:
            if not self._entry.checksum_urls:
                raise
            self.suspicion = suspicion
        else:
            self._trust()

    def _trust(self) -> None:
        if self._on_trusted is not None:
            trusted, self._on_trusted = self._on_trusted, None
            trusted(self.source_headers)
